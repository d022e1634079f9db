"""How far a picture is from another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def psnr(
    reference: NDArray[Any],
    shown: NDArray[Any],
    *,
    largest: int = 255,
    counted: NDArray[np.bool_] | None = None,
) -> float:
    """Return the PSNR in dB of samples ``(H, W)`` or ``(H, W, 3)``; infinite where they are equal.

    Args:
        largest: the largest sample, 255 or 65535.
        counted: ``(H, W)``, which positions count; all if left out or if none would.
    """
    error = np.square(shown.astype(np.float64) - reference)
    if counted is not None and counted.any():
        error = error[counted]
    mean = float(error.mean())
    return 20 * math.log10(largest) - 10 * math.log10(mean) if mean else math.inf
