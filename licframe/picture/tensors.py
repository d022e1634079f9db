"""Pictures as the tensors that transforms work on, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from licframe.picture import alpha
from licframe.picture.images import Picture

_STRIP = 2**22
"""Pixels that are made samples together."""


def tensor_of(picture: Picture) -> Tensor:
    """Return what a transform is given: ``(1, 3, H, W)`` in [0, 1], filled in where it is transparent."""
    samples = picture.pixels.astype(np.float32)
    samples /= 2**picture.depth - 1
    pixels = torch.from_numpy(samples)
    if pixels.ndim == 2:
        pixels = pixels[..., None].expand(-1, -1, 3)
    image = pixels.permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last)
    if picture.alpha is not None:
        image = alpha.fill(image, torch.from_numpy(picture.alpha > 0)[None, None])
    return image


def pixels_of(image: Tensor, mode: str, depth: int) -> NDArray[Any]:
    """Return the samples ``(H, W)`` or ``(H, W, 3)``, by mode, of 8 or 16 bits of an image ``(1, 3, H, W)``."""
    coloured = "RGB" in mode
    strips = image[0].split(max(1, _STRIP // image.shape[-1]), 1)
    pixels = np.concatenate([_samples(strip, coloured, depth) for strip in strips])
    return pixels if coloured else pixels[..., 0]


def _samples(image: Tensor, coloured: bool, depth: int) -> NDArray[Any]:
    image = image if coloured else image.mean(0, keepdim=True)
    largest = 2**depth - 1
    samples = image.permute(1, 2, 0).mul(largest).round_().clamp_(0, largest)
    return samples.to(torch.uint8 if depth == 8 else torch.uint16).contiguous().cpu().numpy()
