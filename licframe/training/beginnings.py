"""What a run begins from: the best linear codec, base weights, another context, another synthesis."""

from __future__ import annotations

from pathlib import Path

import attrs
import torch
from torch import Tensor

from licframe.codec.loading import build, entropy_models
from licframe.errors import UsageError, WeightsMismatchError
from licframe.model.latent_model import LatentModel
from licframe.profile import weights
from licframe.profile.profile import LatentProfile, latent_profile
from licframe.training.data import Source
from licframe.training.transfer import transfer_context

INITIAL_PATCHES = 192
"""Patches that untrained weights are prepared from."""


def another_decoder(
    model: LatentModel, profile: LatentProfile, name: str, base: Path | None
) -> tuple[LatentModel, LatentProfile]:
    """Return the model with the decoder of another profile, all else frozen: as fitted to ``base``, or as it begins.

    Raises:
        UsageError: its transform is not the model's with another decoder.
    """
    wanted = latent_profile(name)
    made = attrs.evolve(profile, name=wanted.name, transform=wanted.transform)
    other = build(made)
    state, own = model.transform.state_dict(), other.transform.state_dict()
    decoding = other.transform.decoder_keys()
    wrong = [k for k, v in own.items() if k not in decoding and state.get(k, v[..., :0]).shape != v.shape]
    if wrong:
        raise UsageError(
            f"{name} cannot be trained together with {profile.name}: its transform has another {wrong[0]} ; it must "
            "differ in the decoder alone"
        )
    if base is not None:
        try:
            weights.load(base, other, made.structure())
        except WeightsMismatchError:  # none is fitted to it
            weights.load_shared(base, other)
    other.requires_grad_(False)
    other.transform.decoder.requires_grad_(True)
    return other, made


def fingerprints(**begun: Path | None) -> dict[str, str]:
    """Return the fingerprints of weights that a run begins from, by role."""
    return {
        role: weights.read_metadata(Path(path))["fingerprint"]
        for role, path in begun.items()
        if path is not None
    }


def begin_linear(model: LatentModel, other: LatentModel | None, images: Tensor) -> None:
    """Set the best linear codec of some patches."""
    model.initialise(images)
    if other is not None:
        other.transform.start_from(model.transform)


def keep_the_rest(model: LatentModel, profile: LatentProfile, fit: str, base: Path) -> None:
    """Load base weights and leave only some parts to train."""
    if fit == "transform":
        weights.load(base, model, profile.structure())
    else:
        weights.load_shared(base, model)
    model.requires_grad_(fit == "transform")
    for module in (model.scheduler, model.entropy_models):
        module.requires_grad_(fit == "context")


def begin_context(model: LatentModel, cached: Source, base: Path, context: Path | None) -> bool:
    """Begin from the context of other weights where it fits, else from what latents show; return whether it fits.

    Raises:
        WeightsMismatchError: ``context`` does not fit.
    """
    model.scheduler.initialise(cached.batch(INITIAL_PATCHES, 0)[0], model.units.std)
    source = context or base
    state = weights.part_state(source, "scheduler")
    fitted = transfer_context(model, state, entropy_models(weights.read_metadata(source)["structure"]))
    if not fitted and context is not None:
        raise WeightsMismatchError(
            f"--context {context} holds another scheduler or other sizes; leave it out"
        )
    return fitted


@torch.no_grad()
def take_all_but_decoder(student: LatentModel, teacher: LatentModel) -> None:
    """Give the student what codes; of its transform, what fits."""
    own, decoding = student.state_dict(), _decoder_keys(teacher)
    state = {
        name: value
        for name, value in teacher.state_dict().items()
        if name not in decoding and name in own and own[name].shape == value.shape
    }
    student.load_state_dict(state, strict=False)


def _decoder_keys(model: LatentModel) -> set[str]:
    return {f"transform.{name}" for name in model.transform.decoder_keys()}


def begin_decoder(student: LatentModel, start: Path) -> None:
    """Begin from a decoder that was distilled before.

    Raises:
        WeightsMismatchError: the file holds none, or another.
    """
    own, decoding = student.transform.state_dict(), student.transform.decoder_keys()
    state = {
        k: v for k, v in weights.part_state(start, "transform").items() if k in decoding or k not in own
    }
    state = weights.widened(state, own)
    other = [k for k, v in state.items() if k not in own or own[k].shape != v.shape]
    if other or not state:
        raise WeightsMismatchError(
            f"--start {start} holds {'another' if state else 'no'} decoder{f' ({other[0]})' if other else ''}; "
            "leave it out, or give the student the options that it was made with"
        )
    student.transform.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()}, strict=False)
