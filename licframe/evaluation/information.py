"""Information of a latent under the float model, to compare with what the frozen tables cost."""

from __future__ import annotations

import torch
from torch import Tensor

from licframe.codec import Codec
from licframe.interfaces import EntropyModel, Known, Step


@torch.no_grad()
def float_information(codec: Codec, latent: Tensor, quality: int) -> float:
    """Return the bits of a latent ``(1, C, h, w)`` rounded around float centres, without noise."""
    gain = codec.gain_table[quality][None]
    condition = codec.units.float_form(gain, torch.full((1,), float(quality)))
    tensors = {"y": latent * gain[..., None, None], **codec.scheduler.side(latent, condition)}
    known = Known(condition, **{name: torch.zeros_like(value) for name, value in tensors.items()})
    total = 0.0

    def fix(step: Step, model: EntropyModel, parameters: Tensor) -> Tensor:
        nonlocal total
        centre = model.centre(parameters)
        residual = (tensors[step.tensor][step.index] - centre).round()
        total += float(model.bits(residual, parameters).double().sum())
        return centre + residual

    codec._walk(known, fix)  # noqa: SLF001
    return total
