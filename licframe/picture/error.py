"""How far two pictures are apart."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.errors import ImageError
from licframe.runtime.extras import require

AMPLIFICATION = 8
"""Levels of an error map for one level of error."""

SSIMULACRA2_SIDE = 8
"""The smallest side in pixels of what SSIMULACRA2 measures."""

_STRIP = 2**22
"""Samples that are compared together: float64 takes eight times the memory of bytes."""


def psnr(a: NDArray[Any], b: NDArray[Any], peak: float | None = None) -> float:
    """Return the PSNR in dB of samples of equal shape; inf if they are equal.

    Args:
        peak: the largest value of a sample; of integers, by default, what their type holds.
    """
    rows = max(1, _STRIP * len(a) // max(1, a.size))
    total = sum(
        float(np.square(np.subtract(a[k : k + rows], b[k : k + rows], dtype=np.float64)).sum())
        for k in range(0, len(a), rows)
    )
    return psnr_of(total / a.size, float(np.iinfo(a.dtype).max) if peak is None else peak)


def psnr_of(error: float, peak: float = 1.0) -> float:
    """Return the PSNR in dB of a mean squared error; inf for none."""
    return 20 * math.log10(peak) - 10 * math.log10(error) if error else math.inf


def ssimulacra2(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the SSIMULACRA2 score of a picture b against its original a, ``(H, W)`` or ``(H, W, 3)`` of 8 or 16 bits.

    100 for equal pictures; 90 and more cannot be told apart, 70 is good, 50 middling, 30 poor. It looks at 8 bits.

    Raises:
        ImageError: a side is below 8 pixels. MissingPackageError: the package ssimulacra2 is not installed.
    """
    if min(a.shape[:2]) < SSIMULACRA2_SIDE:
        raise ImageError(f"SSIMULACRA2 needs sides of {SSIMULACRA2_SIDE} pixels or more; ask for a PSNR")
    measure = require("ssimulacra2", "SSIMULACRA2").compute_ssimulacra2
    return float(measure(_bitmap(a), _bitmap(b)))


def _bitmap(pixels: NDArray[Any]) -> io.BytesIO:
    """Return a file that holds pixels, the form in which the package takes them."""
    samples = pixels if pixels.dtype == np.uint8 else np.round(pixels / 257).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(samples).convert("RGB").save(file, "BMP")
    file.seek(0)
    return file


def error_map(original: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ``128 + 8 * (decoded - original)``, clipped, uint8."""
    error = (decoded.astype(np.int16) - original) * AMPLIFICATION + 128
    return error.clip(0, 255).astype(np.uint8)
