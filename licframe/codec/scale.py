"""The scale of qualities: what a file is coded at for what was asked for.

Quality is geometric in lambda, the bits that a squared error is worth: 0 stands for about 0.05 bpp, 50 for about 34 dB, 90 for
about 44 and 100 for about 48 dB on photographs. A latent alone serves the lower part; above it a detail layer is worth its bits.
"""

from __future__ import annotations

import math

import attrs

from licframe.errors import UsageError

DEFAULT = 50
SCALE = range(101)

_LOWEST, _MIDDLE, _HIGHEST = -28, 50, 150
"""Latent qualities, or their continuation beyond 100, that 0, 50 and 100 stand for."""

_LATENT_ALONE, _WITH_DETAIL = 64, 76
"""Qualities up to which no layer is tried, and from which it always is better."""

_BASE = 50
_STEP = 4.9
"""Latent quality below a layer; its step in levels, times the square root of lambda."""


@attrs.frozen
class Setting:
    """What a file may be coded at.

    Attributes:
        latent: quality of the latent, -28..100; step: of the detail layer, in levels of 8 bits; None without one.
    """

    latent: int
    step: float | None = None


def whole(quality: float) -> int:
    """Return a quality of the scale, checked.

    Raises:
        UsageError: it is no whole number from 0 to 100.
    """
    if not (isinstance(quality, int) and 0 <= quality <= 100):
        raise UsageError(f"quality is {quality}; use a whole number from 0 (smallest) to 100")
    return quality


def place(quality: int) -> float:
    """Return where a quality 0..100 lies on the scale of latents, which ends at 100; beyond, lambda goes on in the same way."""
    below, above = _MIDDLE - _LOWEST, _HIGHEST - _MIDDLE
    return _MIDDLE + (quality - 50) / 50 * (below if quality < 50 else above)


def settings(quality: int, *, layer: bool) -> list[Setting]:
    """Return what to try for a quality, the cheapest by rate and distortion to be taken.

    Args:
        layer: there is a detail layer.
    """
    at = place(quality)
    alone = Setting(min(100, round(at)))
    if not layer or quality <= _LATENT_ALONE:
        return [alone]
    lam = 0.0018 * 100.0 ** (at / 100)
    with_detail = Setting(_BASE, _STEP / math.sqrt(lam))
    return [with_detail] if quality >= _WITH_DETAIL else [alone, with_detail]
