"""Quality to gains, and the search for a quality that meets a target.

A latent channel is multiplied by a gain before it is rounded, and by an inverse gain afterwards.
Both are learned at eight knots, one for each lambda, and interpolated in the log domain.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor, nn

from licframe.errors import LimitError
from licframe.interfaces import trained_as

KNOTS = 8
LAMBDA_MIN, LAMBDA_RATIO = 0.0018, 100.0
_LINEAR_GAIN = 86.7
"""step^2 = 6 / (ln 2 * lambda * 255^2): the best uniform step of an orthonormal transform of
pixels in [0, 1]."""


def lambda_of(quality: Tensor) -> Tensor:
    """Return lambda of a quality in 0..100: 0.0018 at 0, 0.18 at 100, geometric between."""
    return LAMBDA_MIN * LAMBDA_RATIO ** (quality / 100.0)


def error_weight(quality: int) -> float:
    """Return what the squared error of one sample in [0, 1] costs, in bits: lambda is for a pixel's mean in 0..255."""
    return float(lambda_of(torch.tensor(float(quality)))) * 255**2 / 3


def between_knots(table: Tensor, quality: Tensor) -> Tensor:
    """Return a table ``(KNOTS, ...)`` at qualities ``(N,)`` in 0..100, linear between the knots: ``(N, ...)``."""
    position = quality * ((KNOTS - 1) / 100.0)
    below = position.floor().clamp(0, KNOTS - 2).long()
    share = (position - below).view(-1, *[1] * (table.dim() - 1))
    return table[below] * (1 - share) + table[below + 1] * share


class Gains(nn.Module):
    """Per-channel gains at the knots, log2, ``(KNOTS, C)``, and their inverses."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        knots = torch.linspace(0.0, 100.0, KNOTS, dtype=torch.float64)
        start = (_LINEAR_GAIN * lambda_of(knots).sqrt()).log2().float()[:, None]
        self.log2_gain = trained_as("scale", nn.Parameter(start.repeat(1, channels)))
        self.log2_inverse = trained_as("scale", nn.Parameter(-start.repeat(1, channels)))

    def forward(self, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return gains and inverse gains ``(N, C)`` for qualities ``(N,)`` in 0..100."""
        gain, inverse = (between_knots(table, quality) for table in (self.log2_gain, self.log2_inverse))
        return torch.exp2(gain), torch.exp2(inverse)


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
            raise LimitError(f"give one of quality, bpp, size and psnr, not {' and '.join(asked)}")
        for name, value in asked.items():
            if name == "quality" and not (isinstance(value, int) and 0 <= value <= 100):
                raise LimitError(f"quality is {value}; use a whole number from 0 (smallest) to 100")
            if name != "quality" and not value > 0:
                raise LimitError(f"{name} is {value}; it must be above 0")

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
