"""A model card for each file of weights that comes with licframe, made from what the file says about itself.

A hook of mkdocs (``mkdocs.yml``): the page ``reference/weights.md`` is made when the site is built, and lies in no folder.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from licframe.evaluation import results
from licframe.profile import weights
from licframe.profile.profile import LatentProfile, load_profile, profile_folder, shipped_profiles
from licframe.registry.discovery import registry

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

_MEASURED = Path(__file__).resolve().parents[1] / "results" / "kodak"

_HEAD = """# Weights

<style>article thead { display: none; }</style>

A card for each file in `profiles/weights`, made from the record in the file itself. `base+part` holds only what differs from
its base weights, which must lie beside it.

**Licence.** MIT, like licframe. The photographs that weights were trained on are free to use; where they come from:
`profiles/weights/README.md`.

**Use.** Compression of photographs of 8 or 16 bits, and research on codecs. A file fixes every probability, so a `.lic` file
needs the very weights that it was made with, and says their fingerprint.

**Limits.** Trained on photographs, wallpapers most of them: not on medical, satellite or printed pictures. What cannot be coded
is guessed: at low rates text of a few pixels and regular weave may look sharp and be wrong. Keep evidence, scans and
measurements with `--lossless`, which keeps every sample and needs no weights.

**The loss** is of pictures held out of the run, in the unit of what that run minimised. It compares only with runs of the same kind
on the same pictures; how good the weights are on Kodak is in [the results](../results/README.md)."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of cards."""
    from mkdocs.structure.files import File

    files.append(
        File.generated(config, "reference/weights.md", content=cards(profile_folder() / "weights"))
    )
    return files


def cards(folder: Path) -> str:
    """Return the page of all weights files of a folder."""
    records = dict(sorted(weights.neighbours(folder), key=lambda found: found[0].stem))
    names = {record["fingerprint"]: path.stem for path, record in records.items()}
    used = users()
    lines = [_HEAD]
    for path, record in records.items():
        lines += ["", *card(path, record, names, used.get(path.resolve(), []))]
    return "\n".join(lines) + "\n"


def users() -> dict[Path, list[str]]:
    """Return the shipped profiles that use each weights file, by its path."""
    found: dict[Path, list[str]] = {}
    for name in shipped_profiles():
        profile = load_profile(name)
        if isinstance(profile, LatentProfile) and profile.weights_path is not None:
            chosen = weights.find(profile.weights_path, profile.structure())
            files = [*chosen.files, *(chosen.decoder.files if chosen.decoder else ())]
            if profile.detail_path is not None:
                detail = load_profile(str(profile.detail_path))
                assert isinstance(detail, LatentProfile)
                assert detail.weights_path is not None
                files.append(detail.weights_path)
            for path in dict.fromkeys(file.resolve() for file in files):
                found.setdefault(path, []).append(name)
    return found


def card(
    path: Path, record: Mapping[str, Any], names: Mapping[str, str], profiles: list[str]
) -> Iterator[str]:
    """Yield the lines of one card.

    Args:
        names: of the files, by fingerprint.
        profiles: which use it.
    """
    data, training = path.read_bytes(), record["training"]
    base = record.get("base") or training.get("base")
    yield from (
        f"## {path.stem}",
        "",
        role(record, numbers(path), names.get(base, "")),
        "",
        "| | |",  # hidden by the page's style
        "|---|---|",
    )
    yield f"| used by | {', '.join(f'`{name}`' for name in profiles) or 'no shipped profile as it is'} |"
    yield f"| parts | {', '.join(label(part) for part in record['structure']['parts'])} |"
    held = ", ".join(f"{part} {count:,}" for part, count in sorted(numbers(path).items()))
    yield f"| numbers in the file | {held} |"
    yield f"| last run | {', '.join(run(training))} |"
    if "held_out" in training:
        yield f"| loss on held-out pictures | {training['held_out']:.4f}{unit(record, numbers(path))} |"
    if "data" in training:
        yield f"| pictures | {training['pictures']:,}; SHA-256 of their list `{training['data']}` |"
    for key, said in (("start", "began from"), ("context", "context began from"), ("teacher", "teacher")):
        if key in training:
            known = names.get(training[key])
            yield f"| {said} | {f'`{known}`' if known else f'weights that do not ship, `{training[key][:12]}`'} |"
    measured = [name for name in profiles if measured_with(name, record)]
    yield f"| measured with it, on Kodak | {', '.join(f'`{name}`' for name in measured) or 'nothing yet'} |"
    yield f"| size | {len(data):,} bytes |"
    yield f"| fingerprint | `{record['fingerprint']}` |"
    yield f"| SHA-256 | `{hashlib.sha256(data).hexdigest()}` |"


def role(record: Mapping[str, Any], held: Mapping[str, int], base: str) -> str:
    """Return what a file is for, as its tensors and its record say."""
    if "codes_as" in record:
        return f"A synthesis for the files of `{base}`: it shows the same files in another way, and codes none."
    if "base" not in record:
        if base:
            return f"A detail layer: what the latent of `{base}` leaves out. It codes nothing without that latent."
        return "Base weights: a whole model, and what files that begin with its name build on."
    if "transform" in held:
        return f"A transform with its gains for the context of `{base}`, trained for another distortion."
    return f"A context model and its entropy models for the latents of `{base}`."


def numbers(path: Path) -> dict[str, int]:
    """Return how many numbers a file holds of each part of a model."""
    found: Counter[str] = Counter()
    with safe_open(path, "np") as file:
        for name in file.keys():  # noqa: SIM118 - it is no dict
            part = name.split(".")[0]
            part = {"scheduler": "context", "transform": "transform"}.get(part, "gains and tables")
            found[part] += math.prod(file.get_slice(name).get_shape())
    return dict(found)


def label(part: Mapping[str, Any]) -> str:
    """Return a part's kind, name and version."""
    known = registry().named(part["kind"], part["plugin"])
    name = known.name if known else part["plugin"]  # a record has the first name that a part ever had
    return f"{part['kind'].replace('_', ' ')} `{name} {part['version']}`"


def unit(record: Mapping[str, Any], held: Mapping[str, int]) -> str:
    """Return what a loss is, where it is not rate and distortion."""
    if "codes_as" in record:
        return " times the squared error of the teacher, mean of patches"
    return " bits per pixel, weighted by quality" if "base" in record and "transform" not in held else ""


def run(training: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is recorded of the last run of a training."""
    yield f"{training['patches']:,} patches"
    yield f"{training['minutes']:g} min"
    yield f"on {'a GPU' if training['device'].startswith('cuda') else 'CPU cores'}"
    schedule = training.get("schedule", {})
    for key, said in (("batch", "batches of"), ("patch", "side"), ("rate", "rate"), ("decay", "decay")):
        if key in schedule:
            yield f"{said} {schedule[key]:g}"
    if "seed" in training:
        yield f"seed {training['seed']}"


def measured_with(profile: str, record: Mapping[str, Any]) -> bool:
    """Return whether the results of a profile on Kodak were measured with these weights as its own."""
    path = _MEASURED / f"{profile}.json"
    return path.is_file() and record["fingerprint"][:12] in results.load(path).version
