"""What a run leaves to go on from: written whole or not at all, read whatever version wrote it."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from licframe.errors import FileError
from licframe.model.interfaces import parameter_kind
from licframe.runtime.atomic import written_whole

_VERSION = 3
"""1: moments are numbered. 1 and 2: names of the auxiliary's parameters begin with "also.", and ``of`` has "trunk" for "base"."""
_OLD_KINDS = ("matrix", "linear", "output", "bias", "scale")


@attrs.frozen(eq=False)
class Checkpoint:
    """The state of a run before its decay.

    Attributes:
        model, auxiliary: state of the codec, and of what is trained beside it.
        average: the averaged parameters by name, those of the auxiliary after "auxiliary.".
        moments: of the optimisers, by parameter's name; empty where they were left out.
        patches, minutes: seen and taken so far, over all runs.
        of: what was trained, by aspect (see ``Trainer``); empty in old files.
    """

    model: dict[str, Tensor]
    average: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]
    patches: int
    minutes: float
    auxiliary: dict[str, Tensor] | None = None
    of: dict[str, str] = attrs.field(factory=dict)

    def write(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        with written_whole(path) as partial:
            torch.save({"version": _VERSION, **attrs.asdict(self, recurse=False)}, partial)

    @classmethod
    def read(cls, path: Path, named: Mapping[str, Tensor]) -> Checkpoint:
        """Read a checkpoint.

        Args:
            named: the parameters that are trained, by name, for old files that number moments.

        Raises:
            FileError: there is none, or it is damaged.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            version = state.get("version", 1)
            if version == 1:
                moments = _named_moments(state["optimisers"], named)
                state |= {"moments": moments, "auxiliary": state.get("also")}
            if version <= 2:
                state |= {key: _renamed(state[key]) for key in ("average", "moments")}
                state["of"] = {{"trunk": "base"}.get(k, k): v for k, v in state.get("of", {}).items()}
            optional = {key: state[key] for key in ("auxiliary", "of") if key in state}
            return cls(
                state["model"],
                state["average"],
                state["moments"],
                state["patches"],
                state["minutes"],
                **optional,
            )
        except FileNotFoundError as error:
            raise FileError(f"nothing to resume: there is no {path}; leave out --resume") from error
        except (RuntimeError, pickle.UnpicklingError, KeyError, EOFError) as error:
            raise FileError(
                f"cannot resume from {path}: it is damaged ({str(error).splitlines()[0]}); use another --folder"
            ) from error


def _renamed(by_name: Mapping[str, Any]) -> dict[str, Any]:
    """Return what belongs to parameters by the names that they have today."""
    return {re.sub(r"^also\.", "auxiliary.", name): value for name, value in by_name.items()}


def _named_moments(
    saved: Sequence[Mapping[str, Any]], named: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """Return moments by name from files that number them: Muon's matrices first, then the other kinds in turn."""
    kinds = [[name for name, p in named.items() if parameter_kind(p) == kind] for kind in _OLD_KINDS]
    names = [kinds[0], [name for kind in kinds[1:] for name in kind]]
    if not kinds[0]:
        names.pop(0)
    moments: dict[str, dict[str, Tensor]] = {}
    for optimiser, several in zip(saved, names, strict=False):
        if len(optimiser["state"]) <= len(several):
            moments |= {several[int(number)]: dict(s) for number, s in optimiser["state"].items()}
    return moments
