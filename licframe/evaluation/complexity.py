"""What a latent codec costs: parameters, multiply-accumulates, serial passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from licframe.model.interfaces import PictureFilter
from licframe.model.latent_model import LatentModel

_WIDTH, _HEIGHT = 768, 512


def multiplications(work: Callable[[], object]) -> float:
    """Return the multiply-accumulates that torch counts while ``work`` runs."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2


def complexity(model: LatentModel, picture_filter: PictureFilter | None = None) -> dict[str, Any]:
    """Return parameters, kMAC per pixel of encoder and decoder, and serial passes at 768x512.

    MACs are counted on the float form, predicted in coding order as a decoder does; the integer form does the same
    products. The check that an encoder makes of its own file is not counted; what a decoder does to apply a filter is.
    """
    image = torch.rand(1, 3, _HEIGHT, _WIDTH, device=model.device)
    quality = torch.full((1,), 50.0, device=model.device)

    def kmac(work: Callable[[], object]) -> float:
        with torch.no_grad():
            return multiplications(work) / (_WIDTH * _HEIGHT) / 1000

    with torch.no_grad():
        latent = model.transform.analysis(image, quality)
        gain, _ = model.gains(quality)
    analysis = kmac(lambda: model.transform.analysis(image, quality))
    synthesis = kmac(lambda: model.transform.synthesis(latent, quality))
    context = kmac(lambda: model.estimate_latent(latent, gain, quality, in_order=True))
    if picture_filter is not None:
        # Any filter will do: what one costs does not depend on its coefficients.
        data = picture_filter.fit(0.9 * image, image, 1e9)
        if data is not None:
            synthesis += kmac(lambda: picture_filter.apply(image, data))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "kmac_encode": round(analysis + context, 1),
        "kmac_decode": round(synthesis + context, 1),
        "serial_passes": model.scheduler.serial_passes(*latent.shape[-2:]),
    }
