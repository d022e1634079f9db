"""Latents of a frozen transform, made once and kept: a context is then fitted in minutes."""

from __future__ import annotations

import torch
from torch import Tensor

from licframe.model.latent_model import LatentModel
from licframe.training.data import Source


class CachedLatents:
    """Latents of patches, each at its quality, kept as float16 on their device.

    Args:
        model: its transform is used as it is; source: gives pictures and qualities.
        count: patches; size: their side in pixels.
    """

    _AT_ONCE = 8

    @torch.no_grad()
    def __init__(self, model: LatentModel, source: Source, count: int, size: int) -> None:
        kept = []
        for begin in range(0, count, self._AT_ONCE):
            image, quality = source.batch(min(self._AT_ONCE, count - begin), size)
            kept.append((model.transform.analysis(image, quality).half(), quality))
        self.latents, self.qualities = (torch.cat(x) for x in zip(*kept, strict=True))

    def batch(self, count: int, size: int) -> tuple[Tensor, ...]:
        """Return ``(count, C, h, w)`` latents in coefficient units, and the qualities they were made for.

        Flipped and transposed they would be other latents, so they come as they are.
        """
        which = torch.randint(len(self.latents), (count,), device=self.latents.device)
        return self.latents[which].float(), self.qualities[which]
