"""Fitting a context on the latents of a frozen transform: cached once, then minutes on a CPU."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from licframe.codec import Codec
from licframe.rate import lambda_of
from licframe.training.data import Photographs
from licframe.training.objective import REFERENCE_LAMBDA


class CachedLatents:
    """Latents of random patches, each at a random quality, made once and kept as float16.

    Args:
        codec: its transform is used as it is.
        count: patches; size: their side in pixels.
    """

    def __init__(
        self, codec: Codec, photographs: Photographs, count: int, size: int, rng: random.Random
    ) -> None:
        kept = []
        with torch.no_grad():
            for begin in range(0, count, 8):
                image = photographs.patches(min(8, count - begin), size, rng)
                quality = torch.rand(len(image)) * 100
                kept.append((codec.transform.analysis(image, quality).half(), quality))
        self.latents, self.qualities = (torch.cat(x) for x in zip(*kept, strict=True))
        self.pixels = size * size

    def batch(self, count: int, size: int, rng: random.Random) -> tuple[Tensor, ...]:
        """Return ``(count, C, h, w)`` latents in coefficient units, and the qualities they were made for.

        Flipped and transposed they would be other latents, so they come as they are.
        """
        which = [rng.randrange(len(self.latents)) for _ in range(count)]
        return self.latents[which].float(), self.qualities[which]


class RateObjective(nn.Module):
    """Bits per pixel of cached latents, each sample over sqrt(lambda / 0.013) as in ``Objective``."""

    def __init__(self, codec: Codec, pixels: int) -> None:
        super().__init__()
        self.codec, self.pixels = codec, pixels
        for parameter in codec.parameters():
            parameter.requires_grad_(False)
        for module in (codec.scheduler, codec.entropy_models):
            for parameter in module.parameters():
                parameter.requires_grad_(True)

    def forward(self, latent: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and ``(3, N)`` of loss, bpp and zero."""
        bpp = self.codec.latent_bits(latent, quality) / self.pixels
        loss = bpp / (lambda_of(quality) / REFERENCE_LAMBDA).sqrt()
        return loss.mean(), torch.stack([loss, bpp, torch.zeros_like(bpp)]).detach()
