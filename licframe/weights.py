"""Weights files: safetensors with a fingerprint, and the structure they belong to.

Matrices are stored in float16, vectors in float32, tables as integers. Everything exact is derived
from the stored numbers by exact operations, so the file alone fixes every probability. The
fingerprint is a SHA-256 of the structure and of all tensors; a .lic file carries its first bytes.
Reading a fingerprint needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from licframe.errors import WeightsMismatchError

if TYPE_CHECKING:
    from torch import Tensor, nn

_FORMAT = 1
_MAX_HEADER = 1 << 20


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


def save(path: Path, module: nn.Module, structure: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """Write a module's state and return its fingerprint."""
    from safetensors.torch import save_file

    tensors = {name: _stored(value) for name, value in module.state_dict().items()}
    fingerprint = _fingerprint(tensors, structure)
    record = {"format": _FORMAT, "fingerprint": fingerprint, "structure": structure, "training": training}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"licframe": json.dumps(record)})
    partial.chmod(0o644)  # safetensors leaves files that only their owner can read
    partial.replace(path)
    return fingerprint


def load(path: Path, module: nn.Module, structure: Mapping[str, Any]) -> str:
    """Fill a module from a weights file and return the fingerprint.

    Raises:
        WeightsMismatchError: missing, damaged, not finite, or made for other parts or options.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    record = read_metadata(path)
    if record["structure"] != json.loads(json.dumps(structure)):
        raise WeightsMismatchError(
            f"weights {path} belong to other parts or options: {_difference(record['structure'], structure)}; "
            "set the profile back, or train weights for it with licframe train"
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsMismatchError(f"weights {path} are damaged ({error}); get a new copy") from error
    if _fingerprint(tensors, record["structure"]) != record["fingerprint"]:
        raise WeightsMismatchError(
            f"weights {path} do not match their fingerprint {record['fingerprint'][:12]}; get a new copy"
        )
    expected = module.state_dict()
    for name, value in expected.items():
        if name not in tensors or tensors[name].shape != value.shape:
            raise WeightsMismatchError(
                f"weights {path} lack {name} of shape {tuple(value.shape)}; train weights for this profile"
            )
        if not torch.isfinite(tensors[name]).all():
            raise WeightsMismatchError(f"weights {path} hold values that are not finite in {name}")
    module.load_state_dict({k: v.to(expected[k].dtype) for k, v in tensors.items()}, strict=True)
    return str(record["fingerprint"])


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
