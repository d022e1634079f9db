"""Weights files: safetensors with a fingerprint, and the structure they belong to.

Matrices are stored in float16, vectors in float32, tables as integers. Everything exact is derived
from the stored numbers by exact operations, so the file alone fixes every probability. The
fingerprint is a SHA-256 of the structure and of all tensors; a .lic file carries its first bytes.
Reading a fingerprint needs no torch.

A file may hold only what differs from base weights, named by fingerprint: another context
scheduler fitted on the same latents, or a smaller synthesis for the same files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from licframe.errors import WeightsMismatchError
from licframe.profile.profile import profile_folder
from licframe.runtime.atomic import written_whole

if TYPE_CHECKING:
    from torch import Tensor, nn

_FORMAT = 1
_MAX_HEADER = 1 << 20

_ROWS = (10, 129)
"""Of tables over qualities: knots, and every quality."""


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what a weights file says about itself: fingerprint, structure, training record.

    Raises:
        WeightsMismatchError: missing, or not a licframe weights file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MAX_HEADER:
                raise ValueError("its header is too long")
            record = json.loads(json.loads(file.read(length))["__metadata__"]["licframe"])
        if record["format"] != _FORMAT:
            raise ValueError(f"format {record['format']}, expected {_FORMAT}")
        if not isinstance(record["fingerprint"], str) or not isinstance(record["structure"], dict):
            raise TypeError("its record is malformed")
    except OSError as error:
        raise WeightsMismatchError(
            f"cannot read weights {path}: {error.strerror}; train them with licframe train, or point "
            "[weights].file of the profile at the right file"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsMismatchError(
            f"{path} is not a licframe weights file ({error}); use a file that licframe train wrote"
        ) from error
    return dict(record)


@attrs.frozen
class ResolvedWeights:
    """Weights of a structure: the files that make them up, and what the last says about itself.

    Attributes:
        files: one file, or the base weights and a file that replaces some of its parts.
        record: fingerprint, structure and training record of the whole.
        decoder: other weights on the same base weights, whose transform takes the place of these; it decodes the same files.
    """

    files: tuple[Path, ...]
    record: dict[str, Any]
    decoder: ResolvedWeights | None = None

    @property
    def fingerprint(self) -> str:
        """What .lic files carry: of the weights that fix the symbols.

        Weights that replace only the transform of others code the same symbols, and carry theirs.
        """
        return str(self.record.get("codes_as") or self.record["fingerprint"])

    @property
    def base(self) -> str:
        """Fingerprint of the base weights, whose latents these code."""
        return str(self.record.get("base") or self.record["fingerprint"])

    @property
    def synthesis(self) -> str:
        """Fingerprint of what shows other pictures of the same files; empty where nothing does."""
        record = (self.decoder or self).record
        return str(record["fingerprint"]) if "codes_as" in record else ""


def find(path: Path, structure: Mapping[str, Any]) -> ResolvedWeights:
    """Find the weights of a structure, starting from a weights file.

    The file may hold all of them; or be base weights beside which another file replaces the parts that differ, or one file
    the synthesis and another what codes; or be such a file itself, whose base weights lie beside it or comes with licframe.

    Raises:
        WeightsMismatchError: no such weights; says which parts have none and how to fit them.
    """
    wanted = json.loads(json.dumps(structure))
    record = read_metadata(path)
    if record["structure"] == wanted:
        return ResolvedWeights(files_of(path), record)
    beside = [
        ResolvedWeights((path, other), found)
        for other, found in neighbours(path.parent)
        if found.get("base") == record["fingerprint"]
    ]
    for one in beside:
        if one.record["structure"] == wanted:
            return one
    transform, rest = _split_transform(wanted)
    coding = [
        one
        for one in beside
        if _split_transform(one.record["structure"]) == (_split_transform(record["structure"])[0], rest)
    ]
    decoding = [
        one
        for one in beside
        if "codes_as" in one.record and _split_transform(one.record["structure"])[0] == transform
    ]
    if coding and decoding:
        return attrs.evolve(coding[0], decoder=decoding[0])
    raise WeightsMismatchError(
        f"weights {path} belong to other parts or options: {_difference(record['structure'], structure)}, and "
        "no file beside them fits these; set the profile back, or train the parts with licframe train; "
        "--fit context keeps the latents"
    )


def _split_transform(structure: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the transform of a structure, and the parts that code its latents."""
    parts = structure["parts"]
    return [p for p in parts if p["kind"] == "transform"], [p for p in parts if p["kind"] != "transform"]


def files_of(path: Path) -> tuple[Path, ...]:
    """Return a weights file, after its base weights if it replaces only parts of them.

    Raises:
        WeightsMismatchError: the base weights are neither beside it nor among those that come with licframe.
    """
    record = read_metadata(path)
    if "base" not in record:
        return (path,)
    for folder in (path.parent, profile_folder() / "weights"):
        for base, its in neighbours(folder):
            if its["fingerprint"] == record["base"]:
                return base, path
    raise WeightsMismatchError(
        f"weights {path} replace parts of weights {record['base'][:12]}, which are not beside them; "
        "put that file there"
    )


def neighbours(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the readable weights files of a folder with their records."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            yield path, read_metadata(path)
        except WeightsMismatchError:
            continue


def save(
    path: Path,
    module: nn.Module,
    structure: Mapping[str, Any],
    training: Mapping[str, Any],
    base: Path | None = None,
) -> str:
    """Write a module's state and return its fingerprint.

    Args:
        base: weights of which only what differs is written.
    """
    import torch
    from safetensors.torch import load_file, save_file

    tensors = {name: _stored(value) for name, value in module.state_dict().items()}
    old = {} if base is None else load_file(base)
    wide = widened(old, tensors)
    # What is the base's counts, and is left out, as the base holds it.
    same = {k for k, v in tensors.items() if k in wide and torch.equal(wide[k], v)}
    tensors |= {k: old[k] for k in same}
    fingerprint = _fingerprint(tensors, structure)
    record = {"format": _FORMAT, "fingerprint": fingerprint, "structure": structure, "training": training}
    if base is not None:
        below = read_metadata(base)
        record["base"] = below["fingerprint"]
        tensors = {k: v for k, v in tensors.items() if k not in same}
        coding = [
            _split_transform(whole)[1] for whole in (below["structure"], json.loads(json.dumps(structure)))
        ]
        if coding[0] == coding[1] and all(map(_of_transform, tensors)):
            record["codes_as"] = below["fingerprint"]
    with written_whole(path) as partial:
        save_file(tensors, partial, {"licframe": json.dumps(record)})
        partial.chmod(0o644)  # safetensors leaves files that only their owner can read
    return fingerprint


def load(path: Path, module: nn.Module, structure: Mapping[str, Any]) -> ResolvedWeights:
    """Fill a module from weights (see ``find``), and return what they are.

    Raises:
        WeightsMismatchError: missing, damaged, not finite, or made for other parts or options.
    """
    import torch

    found = find(path, structure)
    expected = module.state_dict()
    tensors = _assembled(found, expected)
    if found.decoder is not None:
        synthesis = {k: v for k, v in _assembled(found.decoder, expected).items() if _of_transform(k)}
        tensors = {k: v for k, v in tensors.items() if not _of_transform(k)} | synthesis
    tensors = widened(tensors, expected)
    for name, value in expected.items():
        if name not in tensors or tensors[name].shape != value.shape:
            raise WeightsMismatchError(
                f"weights {path} lack {name} of shape {tuple(value.shape)}; train weights for this profile"
            )
        if not torch.isfinite(tensors[name]).all():
            raise WeightsMismatchError(f"weights {path} hold values that are not finite in {name}")
    module.load_state_dict({k: v.to(expected[k].dtype) for k, v in tensors.items()}, strict=True)
    return found


def _assembled(found: ResolvedWeights, expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of weights, checked against their fingerprint.

    Args:
        expected: names of the module that is filled; base weights may hold others, of parts that are replaced.
    """
    *base, last = found.files
    tensors = _read(last)
    for file in base:
        kept = [
            before == after
            for before, after in zip(
                _split_transform(read_metadata(file)["structure"]),
                _split_transform(found.record["structure"]),
                strict=True,
            )
        ]
        old = _read(file)
        tensors = {k: v for k, v in old.items() if kept[not _of_transform(k)] or k in expected} | tensors
    if _fingerprint(tensors, found.record["structure"]) != found.record["fingerprint"]:
        raise WeightsMismatchError(
            f"weights {last} do not match their fingerprint {found.record['fingerprint'][:12]}; get a new copy"
        )
    return tensors


def _of_transform(name: str) -> bool:
    return name.startswith("transform.")


def widened(stored: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return stored tensors, tables over qualities with rows for those below 0, which weights did not have once.

    What codes repeats the row of quality 0, an exact operation; gains, which are trained, go on as they come.

    Args:
        wanted: has the shapes of today.
    """
    return {k: _table(k, v, wanted[k]) if k in wanted else v for k, v in stored.items()}


def _table(name: str, stored: Tensor, wanted: Tensor) -> Tensor:
    import torch

    missing = len(wanted) - len(stored) if wanted.dim() and stored.dim() else 0
    if missing <= 0 or stored.shape[1:] != wanted.shape[1:] or len(wanted) not in _ROWS:
        return stored
    if name.startswith("gains."):
        below = torch.arange(missing, 0, -1)[:, None] * (stored[0] - stored[1])
        return torch.cat([stored[0] + below, stored])
    return torch.cat([stored[:1].expand(missing, *stored.shape[1:]), stored])


def load_shared(path: Path, module: nn.Module) -> list[str]:
    """Fill what a module has in common with a weights file; return the names that were not filled.

    This is how parts are fitted on the base of other weights.
    """
    stored: dict[str, Tensor] = {}
    for file in files_of(path):
        stored |= _read(file)
    state = module.state_dict()
    stored = widened(stored, state)
    shared = {
        k: stored[k].to(v.dtype) for k, v in state.items() if k in stored and stored[k].shape == v.shape
    }
    module.load_state_dict(shared, strict=False)
    return [name for name in state if name not in shared]


def part_state(path: Path, part: str) -> dict[str, Tensor]:
    """Return what a weights file itself holds of a codec's part, e.g. "scheduler"; names as in the part."""
    prefix = f"{part}."
    return {k.removeprefix(prefix): v for k, v in _read(path).items() if k.startswith(prefix)}


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsMismatchError(f"weights {path} are damaged ({error}); get a new copy") from error


def _stored(value: Tensor) -> Tensor:
    import torch

    if not value.is_floating_point():
        return value.to(torch.int32).contiguous()
    half = value.dim() == 4
    return value.detach().cpu().to(torch.float16 if half else torch.float32).contiguous()


def _fingerprint(tensors: Mapping[str, Tensor], structure: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(structure, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _difference(have: Mapping[str, Any], want: Mapping[str, Any]) -> str:
    """Return the first differences between two structures, readable."""
    found = [
        f"{new['kind']}.{key} is {new.get(key)} in the profile, {old.get(key)} in the weights"
        for old, new in zip(have["parts"], want["parts"], strict=False)
        for key in old.keys() | new.keys()
        if old.get(key) != new.get(key)
    ]
    return "; ".join(sorted(found)[:3]) or "another number of parts"
