"""Trained weights moved into a transform with more layers, wider ones, or other blocks: where a deeper run starts.

What both have stays. New channels and blocks lead nowhere and new layers start near zero, so that the function changes
only by what is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from licframe.model.latent_model import LatentModel

_NEW_LAYER = 0.04
"""Factor of the random start of a layer that a block did not have."""


@torch.no_grad()
def move_weights(state: Mapping[str, Tensor], model: LatentModel) -> None:
    """Fill an untrained model with what fits of another's state, by name."""
    model.load_state_dict(
        {name: _moved(name, state.get(name), value.clone()) for name, value in model.state_dict().items()}
    )


def _moved(name: str, old: Tensor | None, new: Tensor) -> Tensor:
    """Return a tensor of the new shape, from that of the same name and from its random start."""
    if old is None:  # a layer, or a block, whose last convolution is zero
        return new * _NEW_LAYER if ".inner." in name else new
    if old.shape == new.shape:
        return old
    place = tuple(slice(0, size) for size in old.shape)
    if name.endswith("last.weight"):  # new inner channels lead nowhere
        new = torch.zeros_like(new)
    elif ".inner." in name and name.endswith("weight"):
        new = new * 0.5
        new[place[0]] = 0
    new[place] = old
    return new
