"""Fit anew what belongs to base weights, once these were trained: contexts, syntheses, other transforms.

A recipe says how, in a TOML file beside the weights::

    base = "balanced"              # balanced.safetensors, in the recipe's folder

    [[part]]                       # one for each file balanced+NAME.safetensors
    name = "small"
    command = "train small --fit context --start {base} --rate 0.3"    # of licframe, without data, folder and minutes
    minutes = 4
    begin = "--context"            # the option that names the file which this one replaces; left out, it begins anew
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import cattrs

from licframe.errors import FileError, LicframeError, ProfileError, UsageError, suggestion
from licframe.profile import weights
from licframe.runtime.atomic import make_folder, read_file, write_atomically


@attrs.frozen
class Part:
    """What is fitted on base weights; fields as in the module's text."""

    name: str
    command: str
    minutes: float
    begin: str = ""


@attrs.frozen
class Recipe:
    """What belongs to base weights: files in ``folder``, theirs and one for each part."""

    folder: Path
    base: str
    part: tuple[Part, ...]

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe.

        Raises:
            FileError: it cannot be read. ProfileError: a key is missing, unknown or of the wrong type.
        """
        try:
            record = tomllib.loads(read_file(path).decode())
            return cattrs.Converter(forbid_extra_keys=True).structure(
                {"folder": path.parent, **record}, cls
            )
        except (ValueError, cattrs.BaseValidationError) as error:
            raise ProfileError(
                f"{path} is no recipe ({error}); it has a base and [[part]]s with name, command, minutes, begin"
            ) from error

    def file(self, part: str = "") -> str:
        """Return the name of the weights file of a part, or of the base weights."""
        return f"{self.base}{f'+{part}' if part else ''}.safetensors"


def refit(
    recipe: Recipe,
    data: Sequence[Path],
    *,
    folder: Path,
    base: Path | None = None,
    only: Sequence[str] = (),
    factor: float = 1.0,
    jobs: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Fit parts to base weights, each with a command in a process of its own, and put each in place once it is fitted.

    Args:
        data: of the training.
        folder: gets a run folder for each part, and the files that were there before.
        base: new weights to put in place first; those that are there if left out.
        only: names of parts; all if empty.
        factor: of all minutes; jobs: parts that are fitted at once, which share the cores.
        tell: is told in a line what begins and ends.

    Raises:
        UsageError: no such part. FileError: a file cannot be read or written. LicframeError: a command failed.
    """
    parts = {part.name: part for part in recipe.part}
    for name in only:
        if name not in parts:
            raise UsageError(f'no part "{name}" in the recipe; {suggestion(name, parts)}')
    before, place = folder / "before", recipe.folder / recipe.file()
    if jobs < 1:
        raise UsageError(f"jobs is {jobs}; use 1 or more")
    new = None if base is None else read_file(base)
    shutil.rmtree(before, ignore_errors=True)
    make_folder(before)
    for path in sorted(recipe.folder.glob("*.safetensors")):
        shutil.copyfile(path, before / path.name)
    if new is not None:
        write_atomically(place, new)
    if not place.is_file():
        raise FileError(f"there are no base weights {place}; name them")
    threads = max(1, (os.cpu_count() or 1) // jobs)

    def fit(name: str) -> None:
        part, run, old = parts[name], folder / name, before / recipe.file(name)
        words = part.command.format(base=place).split()
        words += ["--folder", str(run), "--minutes", f"{part.minutes * factor:g}", "--overwrite"]
        words += [part.begin, str(old)] * bool(part.begin and old.is_file())
        words += [word for path in data for word in ("--data", str(path))]
        tell(f"{name}: licframe {' '.join(words)}")
        _run(words, run, threads)
        write_atomically(recipe.folder / recipe.file(name), read_file(run / "weights.safetensors"))
        tell(f"{name}: done")

    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(fit, only or parts):
            pass


def _run(words: Sequence[str], folder: Path, threads: int) -> None:
    """Run a command of licframe; what it prints goes into the folder."""
    make_folder(folder)
    said = folder / "output.txt"
    with said.open("w") as output:
        done = subprocess.run(  # noqa: S603 - the commands of the recipe
            [sys.executable, "-m", "licframe", *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            check=False,
        )
    if done.returncode:
        last = said.read_text().strip().splitlines()[-1:]
        raise LicframeError(f"licframe {' '.join(words)} failed: {''.join(last)}; see {said}")


def table(text: str, folder: Path) -> str:
    """Return a page in Markdown whose table lists weights files, with patches, minutes and hash as the files have them.

    A row begins with the file's name without its suffix, in backquotes; its fourth and fifth cell are patches and
    minutes, the last is the SHA-256.
    """

    def row(match: re.Match[str]) -> str:
        cells = [cell.strip() for cell in match[0].strip("|").split("|")]
        path = folder / f"{cells[0].strip('`')}.safetensors"
        training = weights.read_metadata(path)["training"]
        cells[3] = f"{training['patches']:,}"
        cells[4] = f"{training['minutes']:g}"
        cells[-1] = f"`{hashlib.sha256(read_file(path)).hexdigest()}`"
        return f"| {' | '.join(cells)} |"

    return re.sub(r"^\| `[\w+-]+` \|.*\|$", row, text, flags=re.MULTILINE)
