"""Image quality of pictures with 8 or 16 bits a sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_msssim import ms_ssim as _ms_ssim

from licframe.picture.error import psnr

__all__ = ["decibel", "ms_ssim", "psnr"]

_MS_SSIM_MIN_SIDE = 161
"""Four halvings must leave room for the 11-pixel window."""


def ms_ssim(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return the mean MS-SSIM over channels in [0, 1]; None where a side is below 161 pixels."""
    if min(a.shape[:2]) < _MS_SSIM_MIN_SIDE:
        return None
    return float(_ms_ssim(_batch(a), _batch(b), data_range=np.iinfo(a.dtype).max))


def decibel(similarity: float) -> float:
    """Return MS-SSIM in dB: ``-10 log10(1 - similarity)``."""
    return -10 * math.log10(1 - similarity) if similarity < 1 else math.inf


def _batch(pixels: NDArray[Any]) -> torch.Tensor:
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    return torch.from_numpy(planes.astype(np.float32)).permute(2, 0, 1)[None]
