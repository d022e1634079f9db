"""Rounding with a gradient."""

from __future__ import annotations

from torch import Tensor


def straight_through_round(x: Tensor) -> Tensor:
    """Round to the nearest integer; the gradient is that of the identity."""
    return x + (x.round() - x).detach()
