"""Quality to lambda and to gains.

A latent channel is multiplied by a gain before it is rounded, and by an inverse gain afterwards.
Both are learned at eight knots, one for each lambda, and interpolated in the log domain.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from licframe.model.interfaces import trained_as

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
