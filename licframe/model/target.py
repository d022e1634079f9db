"""What a file should meet, and the search for the best quality that does."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from licframe.errors import LimitError, UsageError


@attrs.frozen
class Target:
    """What a file should meet; at most one of the four is set (see ``Codec.compress``)."""

    quality: int | None = None
    bpp: float | None = None
    size: int | None = None
    psnr: float | None = None

    def __attrs_post_init__(self) -> None:
        asked = {k: v for k, v in attrs.asdict(self).items() if v is not None}
        if len(asked) > 1:
            raise UsageError(f"give one of quality, bpp, size and psnr, not {' and '.join(asked)}")
        for name, value in asked.items():
            if name == "quality" and not (isinstance(value, int) and 0 <= value <= 100):
                raise UsageError(f"quality is {value}; use a whole number from 0 (smallest) to 100")
            if name != "quality" and not value > 0:
                raise UsageError(f"{name} is {value}; it must be above 0")

    def met(self, size: Callable[[], int], pixels: int, psnr: Callable[[], float]) -> bool:
        """Return whether a file of so many bytes and such a PSNR, in dB, keeps within what was asked for."""
        limit = self.size if self.bpp is None else self.bpp * pixels / 8
        return (limit is None or size() <= limit) and (self.psnr is None or psnr() >= self.psnr)


def search(
    target: Target, default: int, pixels: int, attempt: Callable[[int], tuple[int, Callable[[], float]]]
) -> int:
    """Return the best quality that meets a target, by bisection on real files.

    Args:
        attempt: codes at a quality; gives the file's bytes and a function that gives its PSNR.

    Raises:
        LimitError: no quality meets the target.
    """
    limit = target.size if target.bpp is None else target.bpp * pixels / 8
    if limit is None and target.psnr is None:
        return default if target.quality is None else target.quality
    low, high = 0, 100
    if limit is not None:
        size = attempt(0)[0]
        if size > limit:
            raise LimitError(
                f"at quality 0 the file has {size} bytes ({8 * size / pixels:.4f} bpp), above the target of "
                f"{int(limit)} bytes; allow more, or make the image smaller"
            )
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if attempt(middle)[0] <= limit else (low, middle - 1)
        return low
    assert target.psnr is not None
    best = attempt(100)[1]()
    if best < target.psnr:
        raise LimitError(
            f"quality 100 gives {best:.2f} dB, below the target of {target.psnr} dB; ask for less"
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if attempt(middle)[1]() >= target.psnr else (middle + 1, high)
    return low
