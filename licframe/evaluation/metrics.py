"""Image quality of pictures with 8 or 16 bits a sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from licframe.picture.error import psnr
from licframe.runtime import extras

__all__ = ["decibel", "ms_ssim", "psnr"]

_MS_SSIM_MIN_SIDE = 161
"""Four halvings must leave room for the 11-pixel window."""


def ms_ssim(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return the mean MS-SSIM over channels in [0, 1]; None where ``without_ms_ssim`` has a reason."""
    height, width = a.shape[:2]
    if without_ms_ssim(width, height):
        return None
    measure = extras.require("pytorch_msssim", "MS-SSIM").ms_ssim
    return float(measure(_batch(a), _batch(b), data_range=np.iinfo(a.dtype).max))


def without_ms_ssim(width: int, height: int) -> str:
    """Return why pictures of a size in pixels get no MS-SSIM; empty where they do."""
    if min(width, height) < _MS_SSIM_MIN_SIDE:
        return f"a side is below {_MS_SSIM_MIN_SIDE} pixels"
    if not extras.installed("pytorch_msssim"):
        return f"needs the package pytorch-msssim; {extras.install('pytorch_msssim')}"
    return ""


def decibel(similarity: float) -> float:
    """Return MS-SSIM in dB: ``-10 log10(1 - similarity)``."""
    return -10 * math.log10(1 - similarity) if similarity < 1 else math.inf


def _batch(pixels: NDArray[Any]) -> torch.Tensor:
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    return torch.from_numpy(planes.astype(np.float32)).permute(2, 0, 1)[None]
