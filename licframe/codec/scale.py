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

_STEP = 4.9
"""Step of a layer in levels, times the square root of lambda."""


@attrs.frozen
class Layering:
    """Where a detail layer comes in.

    Attributes:
        alone: quality up to which none is tried; always: quality from which it always is better.
        base: latent quality below it.
    """

    alone: int
    always: int
    base: int


LEAST_ERROR = Layering(64, 76, 50)
LOOKS_BEST = Layering(75, 88, 90)
"""For squared error, and for eyes: to them what was trained for them looks better than details, as far as it reaches
(docs/lab/2026-11-27-eyes.md)."""


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


def lambda_at(quality: int) -> float:
    """Return lambda of a quality 0..100: bits a pixel that a squared error of one, in levels of 8 bits, is worth."""
    return 0.0018 * 100.0 ** (place(quality) / 100)


def settings(quality: int, layering: Layering | None) -> list[Setting]:
    """Return what to try for a quality, the cheapest by rate and distortion to be taken.

    Args:
        layering: of the detail layer; None without one.
    """
    at = place(quality)
    alone = Setting(min(100, round(at)))
    if layering is None or quality <= layering.alone:
        return [alone]
    lam = lambda_at(quality)
    with_detail = Setting(layering.base, _STEP / math.sqrt(lam))
    return [with_detail] if quality >= layering.always else [alone, with_detail]
