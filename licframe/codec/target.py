"""What a file should meet, and the search for the best quality that does."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from licframe.errors import LimitError, UsageError

_HUGE = 2.0**63
_OTHERS = 9
"""Places that are tried where the first does not meet a target; of small pictures all."""
_SMALL = 2**12
"""Pixels of a picture whose every quality may be tried."""


def _number(value: Any) -> Any:
    """Return a whole number as int, whatever library it comes from; anything else as it is."""
    whole = isinstance(value, numbers.Real) and not isinstance(value, bool) and value == value // 1
    return int(value) if whole else value


@attrs.frozen
class Target:
    """What a file should meet; at most one of the five is set.

    Attributes:
        quality: on the codec's own scale; for profiles a whole number from 0 (smallest) to 100.
        bpp: largest rate in bits per pixel; size: largest file in bytes.
        psnr: least PSNR in dB; ssimulacra2: least SSIMULACRA2 score, at most 100.

    Raises:
        UsageError: more than one is set, or one is no positive number, or a score above 100.
    """

    quality: float | None = attrs.field(default=None, converter=_number)
    bpp: float | None = None
    size: int | None = attrs.field(default=None, converter=_number)
    psnr: float | None = None
    ssimulacra2: float | None = None

    def __attrs_post_init__(self) -> None:
        asked = {k: v for k, v in attrs.asdict(self).items() if v is not None}
        if len(asked) > 1:
            raise UsageError(
                f"give one of {', '.join(_names()[:-1])} and {_names()[-1]}, not {' and '.join(asked)}"
            )
        for name, value in asked.items():
            number = (
                isinstance(value, numbers.Real) and not isinstance(value, bool) and abs(value) < _HUGE  # type: ignore[operator]
            )
            if not number or (name != "quality" and not value > 0):
                raise UsageError(
                    f"{name} is {value!r}; it must be a number{' above 0' * (name != 'quality')}"
                )
        if self.ssimulacra2 is not None and self.ssimulacra2 > 100:
            raise UsageError(
                f"ssimulacra2 is {self.ssimulacra2}; equal pictures have 100: use at most that"
            )
        if self.size is not None and not isinstance(self.size, int):
            raise UsageError(f"size is {self.size}; use a whole number of bytes")

    @property
    def is_quality(self) -> bool:
        """Whether a quality is asked for, or nothing; no search is needed then."""
        return self.bpp is None and self.size is None and self.fidelity is None

    @property
    def fidelity(self) -> str | None:
        """How decoded pictures are judged, "psnr" or "ssimulacra2", where that is asked for: a method of ``Picture``."""
        if self.psnr is not None:
            return "psnr"
        return None if self.ssimulacra2 is None else "ssimulacra2"

    @property
    def least(self) -> float:
        """The least value of ``fidelity``."""
        return next((wanted for wanted in (self.psnr, self.ssimulacra2) if wanted is not None), -math.inf)

    def limit(self, pixels: int) -> float | None:
        """Return the most bytes that a file of a picture of so many pixels may have; None if any will do."""
        return self.size if self.bpp is None else self.bpp * pixels / 8

    def met(self, size: int, pixels: int, fidelity: Callable[[], float]) -> bool:
        """Return whether a file of so many bytes and such a fidelity keeps within what was asked for."""
        limit = self.limit(pixels)
        return (limit is None or size <= limit) and (self.fidelity is None or fidelity() >= self.least)


def _names() -> list[str]:
    return [field.name for field in attrs.fields(Target)]


def search(
    target: Target,
    scale: Sequence[float],
    default: float,
    pixels: int,
    size: Callable[[float], int],
    fidelity: Callable[[float], float],
) -> float:
    """Return the best quality that meets a target, by bisection on real files.

    Args:
        scale: the qualities that are tried, from the smallest file to the largest; default: if nothing is asked for.
        pixels: of the picture.
        size: returns the bytes of the file at a quality; fidelity: that of what it shows.

    Raises:
        LimitError: no quality of the scale meets the target.
    """
    limit = target.limit(pixels)
    if target.is_quality:
        return default if target.quality is None else target.quality
    last = len(scale) - 1
    others: Sequence[int] = range(1, last + 1)
    if pixels > _SMALL:
        others = [k * last // (_OTHERS + 1) for k in range(1, _OTHERS + 1)]
    if limit is not None:
        place = _last(last, lambda k: size(scale[k]) <= limit, others)
        if place is None:
            least = size(scale[0])
            raise LimitError(
                f"at quality {scale[0]:g} the file has {least} bytes ({8 * least / pixels:.4f} bpp), above the target of "
                f"{int(limit)} bytes; allow more, or make the image smaller"
            )
        return scale[place]
    place = _last(last, lambda k: fidelity(scale[last - k]) >= target.least, others)
    if place is None:
        unit = " dB" if target.psnr is not None else ""
        raise LimitError(
            f"quality {scale[-1]:g} gives {fidelity(scale[-1]):.2f}{unit}, below the target of {target.least}{unit}; "
            "ask for less"
        )
    return scale[last - place]


def _last(last: int, meets: Callable[[int], bool], others: Sequence[int]) -> int | None:
    """Return the last place of 0..last that meets a target which grows harder; None if none does.

    On odd pictures it does not always grow harder: where the first place does not meet it, ``others`` are tried.
    """
    low, high = 0, last
    if not meets(0):
        return next((k for k in reversed(others) if meets(k)), None)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if meets(middle) else (low, middle - 1)
    return low
