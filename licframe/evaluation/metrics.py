"""Image quality of 8-bit pictures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_msssim import ms_ssim as _ms_ssim

_MS_SSIM_MIN_SIDE = 161
"""Four halvings must leave room for the 11-pixel window."""


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the PSNR in dB of uint8 pictures of equal shape, over all samples; inf if equal."""
    error = float(np.square(a.astype(np.float64) - b.astype(np.float64)).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """Return the mean MS-SSIM over channels in [0, 1]; None where a side is below 161 pixels."""
    if min(a.shape[:2]) < _MS_SSIM_MIN_SIDE:
        return None
    return float(_ms_ssim(_batch(a), _batch(b), data_range=255))


def decibel(similarity: float) -> float:
    """Return MS-SSIM in dB: ``-10 log10(1 - similarity)``."""
    return -10 * math.log10(1 - similarity) if similarity < 1 else math.inf


def _batch(pixels: NDArray[Any]) -> torch.Tensor:
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    return torch.from_numpy(planes.astype(np.float32)).permute(2, 0, 1)[None]
