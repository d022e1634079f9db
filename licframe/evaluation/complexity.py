"""What a codec costs: parameters, multiply-accumulates, serial passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from licframe import wiener
from licframe.codec import Codec

_WIDTH, _HEIGHT = 768, 512


def multiplications(work: Callable[[], object]) -> float:
    """Return the multiply-accumulates that torch counts while ``work`` runs."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2


def complexity(codec: Codec) -> dict[str, Any]:
    """Return parameters, kMAC per pixel of encoder and decoder, and serial passes at 768x512.

    MACs are counted on the float form, predicted in coding order as a decoder does; the integer form does the same
    products. The check that an encoder makes of its own file is not counted; a decoder's filter is.
    """
    image = torch.rand(1, 3, _HEIGHT, _WIDTH)
    quality = torch.full((1,), 50.0)

    def kmac(work: Callable[[], object]) -> float:
        with torch.no_grad():
            return multiplications(work) / (_WIDTH * _HEIGHT) / 1000

    with torch.no_grad():
        latent = codec.transform.analysis(image, quality)
        gain, _ = codec.gains(quality)
    analysis = kmac(lambda: codec.transform.analysis(image, quality))
    synthesis = kmac(lambda: codec.transform.synthesis(latent, quality))
    context = kmac(lambda: codec.estimate_latent(latent, gain, quality, in_order=True))
    if codec.profile.encoder.filter:
        synthesis += kmac(lambda: wiener.apply(image, np.zeros(wiener.SIZE, np.int64)))
    return {
        "parameters": sum(p.numel() for p in codec.parameters()),
        "kmac_encode": round(analysis + context, 1),
        "kmac_decode": round(synthesis + context, 1),
        "serial_passes": codec.scheduler.serial_passes(*latent.shape[-2:]),
    }
