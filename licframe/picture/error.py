"""How far two pictures are apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

AMPLIFICATION = 8
"""Levels of an error map for one level of error."""


def psnr(a: NDArray[Any], b: NDArray[Any], peak: float | None = None) -> float:
    """Return the PSNR in dB of samples of equal shape; inf if they are equal.

    Args:
        peak: the largest value of a sample; of integers, by default, what their type holds.
    """
    error = np.square(a.astype(np.float64) - b.astype(np.float64)).mean()
    return psnr_of(float(error), float(np.iinfo(a.dtype).max) if peak is None else peak)


def psnr_of(error: float, peak: float = 1.0) -> float:
    """Return the PSNR in dB of a mean squared error; inf for none."""
    return 20 * math.log10(peak) - 10 * math.log10(error) if error else math.inf


def error_map(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``128 + 8 * (decoded - original)``, clipped, uint8."""
    error = (decoded.astype(np.int16) - original) * AMPLIFICATION + 128
    return error.clip(0, 255).astype(np.uint8)
