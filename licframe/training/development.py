"""The training loss on fixed crops of pictures: whether a run gains, in half a minute.

BD-rates need whole files (``licframe bench rd``); this ranks weights, and checkpoints that were never saved as weights.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from licframe.codec.loading import build
from licframe.errors import ImageError, WeightsMismatchError
from licframe.model.latent_model import LatentModel
from licframe.picture.images import read_picture
from licframe.picture.tensors import tensor_of
from licframe.profile import weights
from licframe.profile.profile import LatentProfile
from licframe.training.checkpoint import Checkpoint
from licframe.training.objective import RateDistortion

QUALITIES = (5, 25, 50, 75, 95)

_AT_ONCE = 10


def crops(paths: Sequence[Path], count: int = 60, side: int = 256) -> Tensor:
    """Return crops ``(count, 3, side, side)`` in [0, 1] of pictures in turn, the same ones each time.

    Raises:
        ImageError: a picture is smaller than a crop.
    """
    rng, found = random.Random(0), []
    pictures = [tensor_of(read_picture(path).to_rgb())[0] for path in paths]
    for number in range(count):
        picture = pictures[number % len(pictures)]
        if min(picture.shape[1:]) < side:
            path = paths[number % len(pictures)]
            raise ImageError(f"{path} is smaller than a crop of {side}x{side} pixels; leave it out")
        top, left = (rng.randint(0, size - side) for size in picture.shape[1:])
        found.append(picture[:, top : top + side, left : left + side])
    return torch.stack(found)


def model_of(profile: LatentProfile, source: Path | None = None) -> LatentModel:
    """Return the model of a profile in floating point: with the profile's weights, a weights file, or a checkpoint.

    Args:
        source: a weights file, or a run's ``checkpoint.pt``, of which the averaged weights are taken.

    Raises:
        WeightsMismatchError: there are none, or they are of other parts. FileError: the checkpoint cannot be read.
    """
    model = build(profile)
    if source is not None and source.suffix == ".pt":
        state = Checkpoint.read(source, {})
        average = {name: value for name, value in state.average.items() if name in state.model}
        try:
            model.load_state_dict({**state.model, **average})
        except RuntimeError as error:
            raise WeightsMismatchError(
                f"{source} is not of profile {profile.name} ({str(error).splitlines()[-1].strip()}); name its profile"
            ) from error
        return model
    path = profile.weights_path if source is None else source
    if path is None:
        raise WeightsMismatchError(
            f"profile {profile.name} names no weights; name a weights file or a checkpoint"
        )
    weights.load(path, model, profile.structure())
    return model


@torch.inference_mode()
def losses(model: LatentModel, images: Tensor, qualities: Sequence[int] = QUALITIES) -> list[float]:
    """Return the mean loss of images ``(N, 3, H, W)`` at each quality, with the same noise each time."""
    objective, means = RateDistortion(model), []
    for quality in qualities:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            parts = [
                objective(batch, torch.full((len(batch),), float(quality)))[0]
                for batch in images.split(_AT_ONCE)
            ]
        means.append(float(torch.stack(parts).mean()))
    return means
