"""Information of a latent under the float model, to compare with what the frozen tables cost."""

from __future__ import annotations

import torch
from torch import Tensor

from licframe.exact.units import row_of
from licframe.model.latent_model import LatentModel


@torch.no_grad()
def float_information(model: LatentModel, latent: Tensor, quality: int) -> float:
    """Return the bits of a latent ``(1, C, h, w)`` rounded around float centres, without noise."""
    gain, at = model.gain_table[row_of(quality)][None], torch.full((1,), float(quality))
    return float(model.estimate_latent(latent, gain, at, noisy=False)[0])
