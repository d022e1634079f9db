"""Which files a batch is of, and what their results are called."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import attrs

from licframe.errors import FileError, UsageError


@attrs.frozen
class Pair:
    """A file and its result, as paths within the two folders; with a slash between folders on any system."""

    input: str
    output: str


def found_in(
    folder: Path,
    suffixes: Collection[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    beside: Path | None = None,
) -> list[str]:
    """Return the paths of files within a folder and the folders in it, sorted; links to folders are not followed.

    Args:
        suffixes: of names that count, where no patterns say so.
        include, exclude: patterns of names, or of paths within the folder; a ``*`` stands for slashes, too.
        beside: a folder that is left out.

    Raises:
        FileError: a folder is not there, or cannot be listed; or no file is found.
    """
    if not os.path.isdir(folder):  # noqa: PTH112  (never raises)
        raise FileError(
            f"{folder} is no folder; name one that holds files, or use licframe compress for single files"
        )
    left_out = None if beside is None else beside.resolve()

    def refuse(error: OSError) -> None:
        raise FileError(f"cannot list the folder {error.filename}: {error.strerror}") from error

    names = []
    root = folder.resolve()
    for place, folders, files in os.walk(root, onerror=refuse):
        here = Path(place)
        folders[:] = [name for name in folders if here / name != left_out]
        names += [(here / name).relative_to(root).as_posix() for name in files]
    names = [name for name in names if _wanted(name, suffixes, include, exclude)]
    if not names:
        patterns = ", ".join(include or sorted(suffixes))
        raise FileError(f"{folder} holds no file that fits ({patterns})")
    return sorted(names)


def _wanted(name: str, suffixes: Collection[str], include: Sequence[str], exclude: Sequence[str]) -> bool:
    def fits(patterns: Sequence[str]) -> bool:
        last = name.rpartition("/")[2]
        return any(fnmatchcase(name, p) or fnmatchcase(last, p) for p in patterns)

    wanted = fits(include) if include else os.path.splitext(name)[1].lower() in suffixes  # noqa: PTH122
    return wanted and not fits(exclude)


def compressed_name(name: str) -> str:
    """Return what the file of a picture is called: the whole name stays, so that no two pictures share one.

    >>> compressed_name("a/b.png")
    'a/b.png.lic'
    """
    return f"{name}.lic"


def decompressed_name(name: str, suffix: str = ".png") -> str:
    """Return what the picture of a file is called.

    >>> decompressed_name("a.png.lic"), decompressed_name("a.jpg.lic"), decompressed_name("a.lic")
    ('a.png', 'a.jpg.png', 'a.png')
    """
    name = name.removesuffix(".lic")
    return name if name.lower().endswith(suffix) else name + suffix


def pairs(names: Sequence[str], rename: Callable[[str], str]) -> list[Pair]:
    """Return every file with its result.

    Raises:
        UsageError: two would have one result.
    """
    by_output: dict[str, str] = {}
    for name in names:
        output = rename(name)
        if output in by_output:
            raise UsageError(
                f"{by_output[output]} and {name} would both become {output}; rename one, or leave it out with --exclude"
            )
        by_output[output] = name
    return [Pair(name, output) for output, name in by_output.items()]


def check_outputs(inputs: Sequence[Path], outputs: Sequence[Path], *, replace: bool) -> None:
    """Refuse outputs that would take the place of an input; and of anything else, unless it may be replaced.

    Raises:
        UsageError, FileError: naming the first.
    """
    read_from = {_identity(path) for path in inputs} - {None}
    for path in outputs:
        found = _identity(path)
        if found is not None and found in read_from:
            raise UsageError(f"{path} is an input, and would be replaced; name another folder")
        if found is not None and not replace:
            raise FileError(f"{path} exists; name another folder, or replace it with --overwrite")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others; None where there is none."""
    with suppress(OSError, ValueError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            return found.st_dev, found.st_ino
    return None


def largest(paths: Sequence[Path]) -> Path:
    """Return the file with the most bytes."""

    def size(path: Path) -> int:
        with suppress(OSError):
            return path.stat().st_size
        return 0

    return max(paths, key=size)
