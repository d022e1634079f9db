"""What a run begins from: the best linear codec, a trunk, another context, another synthesis."""

from __future__ import annotations

from pathlib import Path

import attrs
import torch
from torch import Tensor

from licframe import weights
from licframe.codec import Codec
from licframe.errors import UsageError, WeightsMismatchError
from licframe.interfaces import Transform
from licframe.loading import build, entropy_models
from licframe.profile import load_profile
from licframe.training.data import Source
from licframe.training.transfer import transfer_context

INITIAL_PATCHES = 192
"""Patches that untrained weights are prepared from."""


def another_decoder(codec: Codec, name: str, trunk: Path | None) -> Codec:
    """Return the codec with the synthesis of another profile, all else frozen: as fitted to ``trunk``, or as it begins.

    Raises:
        UsageError: its transform is not the codec's with another synthesis.
    """
    profile = load_profile(name)
    other = build(attrs.evolve(codec.profile, name=profile.name, transform=profile.transform))
    state, own = codec.transform.state_dict(), other.transform.state_dict()
    wrong = [
        k for k, v in own.items() if "synthesis" not in k and state.get(k, v[..., :0]).shape != v.shape
    ]
    if wrong:
        raise UsageError(
            f"{name} cannot learn along: its transform has another {wrong[0]} than {codec.profile.name}'s; it must "
            "differ in the synthesis alone"
        )
    if trunk is not None:
        try:
            weights.load(trunk, other, other.profile.structure())
        except WeightsMismatchError:  # none is fitted to it
            weights.load_shared(trunk, other)
    for key, parameter in other.named_parameters():
        parameter.requires_grad_(key.startswith("transform.synthesis"))
    return other


def fingerprints(**begun: Path | None) -> dict[str, str]:
    """Return the fingerprints of weights that a run begins from, by role."""
    return {
        role: weights.read_metadata(Path(path))["fingerprint"]
        for role, path in begun.items()
        if path is not None
    }


def begin_linear(codec: Codec, other: Codec | None, images: Tensor) -> None:
    """Set the best linear codec of some patches."""
    codec.initialise(images)
    if other is not None:
        learn_from(other.transform, codec.transform)


def learn_from(student: Transform, teacher: Transform) -> None:
    """Start a synthesis from another's, where its transform knows how."""
    learn = getattr(student, "learn_from", None)
    if learn is not None:
        learn(teacher)


def keep_the_rest(codec: Codec, fit: str, trunk: Path) -> None:
    """Load a trunk and leave only some parts to train."""
    if fit == "transform":
        weights.load(trunk, codec, codec.profile.structure())
    else:
        weights.load_shared(trunk, codec)
    coding = (codec.scheduler, codec.entropy_models)
    codec.requires_grad_(fit == "transform")
    for module in coding:
        module.requires_grad_(fit == "context")


def begin_context(codec: Codec, cached: Source, trunk: Path, context: Path | None) -> bool:
    """Begin from the context of other weights where it fits, else from what latents show; return whether it fits.

    Raises:
        WeightsMismatchError: ``context`` does not fit.
    """
    codec.scheduler.initialise(cached.batch(INITIAL_PATCHES, 0)[0], codec.units.std)
    source = context or trunk
    state = weights.part_state(source, "scheduler")
    fitted = transfer_context(codec, state, entropy_models(weights.read_metadata(source)["structure"]))
    if not fitted and context is not None:
        raise WeightsMismatchError(
            f"--context {context} holds another scheduler or other sizes; leave it out"
        )
    return fitted


@torch.no_grad()
def take_all_but_synthesis(student: Codec, teacher: Codec) -> None:
    """Give the student what codes; of its transform, what fits."""
    own = student.state_dict()
    state = {
        name: value
        for name, value in teacher.state_dict().items()
        if not name.startswith("transform.synthesis") and name in own and own[name].shape == value.shape
    }
    student.load_state_dict(state, strict=False)


def begin_synthesis(student: Codec, start: Path) -> None:
    """Begin from a synthesis that was distilled before.

    Raises:
        WeightsMismatchError: the file holds none, or another.
    """
    state = {k: v for k, v in weights.part_state(start, "transform").items() if "synthesis" in k}
    own = student.transform.state_dict()
    other = [k for k, v in state.items() if k not in own or own[k].shape != v.shape]
    if other or not state:
        raise WeightsMismatchError(
            f"--start {start} holds {'another' if state else 'no'} synthesis{f' ({other[0]})' if other else ''}; "
            "leave it out, or give the student the options that it was made with"
        )
    student.transform.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()}, strict=False)
