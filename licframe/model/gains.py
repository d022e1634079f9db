"""Quality to lambda and to gains.

A latent channel is multiplied by a gain before it is rounded, and by an inverse gain afterwards.
Both are learned at ten knots, one for each lambda, and interpolated in the log domain.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from licframe.exact.units import LOWEST_QUALITY
from licframe.model.interfaces import trained_as

KNOTS = 10
"""The eight from quality 0 to 100, and two as far apart below them."""

_BELOW = 2
_SPACING = 100.0 / 7
LAMBDA_AT_0, LAMBDA_RATIO = 0.0018, 100.0
_LINEAR_GAIN = 86.7
"""step^2 = 6 / (ln 2 * lambda * 255^2): the best uniform step of an orthonormal transform of
pixels in [0, 1]."""


def lambda_of(quality: Tensor) -> Tensor:
    """Return lambda of a quality: 0.0005 at -28, 0.0018 at 0, 0.18 at 100, geometric between."""
    return LAMBDA_AT_0 * LAMBDA_RATIO ** (quality / 100.0)


def random_qualities(count: int, device: torch.device | str) -> Tensor:
    """Return qualities ``(count,)``, uniform over all that there are."""
    return LOWEST_QUALITY + torch.rand(count, device=device) * (100 - LOWEST_QUALITY)


def error_weight(quality: float) -> float:
    """Return what the squared error of one sample in [0, 1] costs, in bits: lambda is for a pixel's mean in 0..255."""
    return float(lambda_of(torch.tensor(float(quality)))) * 255**2 / 3


def between_knots(table: Tensor, quality: Tensor) -> Tensor:
    """Return a table ``(KNOTS, ...)`` at qualities ``(N,)`` in -28..100, linear between the knots: ``(N, ...)``."""
    position = quality * (1 / _SPACING)
    below = position.floor().clamp(-_BELOW, KNOTS - 2 - _BELOW).long()
    share = (position - below).view(-1, *[1] * (table.dim() - 1))
    return table[below + _BELOW] * (1 - share) + table[below + _BELOW + 1] * share


class Gains(nn.Module):
    """Per-channel gains at the knots, log2, ``(KNOTS, C)``, and their inverses."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        knots = (torch.arange(KNOTS, dtype=torch.float64) - _BELOW) * _SPACING
        start = (_LINEAR_GAIN * lambda_of(knots).sqrt()).log2().float()[:, None]
        self.log2_gain = trained_as("scale", nn.Parameter(start.repeat(1, channels)))
        self.log2_inverse = trained_as("scale", nn.Parameter(-start.repeat(1, channels)))

    def forward(self, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return gains and inverse gains ``(N, C)`` for qualities ``(N,)`` in -28..100."""
        gain, inverse = (between_knots(table, quality) for table in (self.log2_gain, self.log2_inverse))
        return torch.exp2(gain), torch.exp2(inverse)
