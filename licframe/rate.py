"""Quality to gains: one set of weights serves every rate.

A latent channel is multiplied by a gain before it is rounded, and by an inverse gain afterwards.
Both are learned at eight knots, one for each lambda, and interpolated in the log domain.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

KNOTS = 8
LAMBDA_MIN, LAMBDA_RATIO = 0.0018, 100.0
_LINEAR_GAIN = 86.7
"""step^2 = 6 / (ln 2 * lambda * 255^2): the best uniform step of an orthonormal transform of
pixels in [0, 1]."""


def lambda_of(quality: Tensor) -> Tensor:
    """Return lambda of a quality in 0..100: 0.0018 at 0, 0.18 at 100, geometric between."""
    return LAMBDA_MIN * LAMBDA_RATIO ** (quality / 100.0)


class Gains(nn.Module):
    """Per-channel gains at the knots, log2, ``(KNOTS, C)``, and their inverses."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        knots = torch.linspace(0.0, 100.0, KNOTS, dtype=torch.float64)
        start = (_LINEAR_GAIN * lambda_of(knots).sqrt()).log2().float()[:, None]
        self.log2_gain = nn.Parameter(start.repeat(1, channels))
        self.log2_inverse = nn.Parameter(-start.repeat(1, channels))
        self.log2_gain.kind = self.log2_inverse.kind = "scale"

    def forward(self, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return gains and inverse gains ``(N, C)`` for qualities ``(N,)`` in 0..100."""
        position = quality * ((KNOTS - 1) / 100.0)
        below = position.floor().clamp(0, KNOTS - 2).long()
        share = (position - below)[:, None]
        both = []
        for table in (self.log2_gain, self.log2_inverse):
            both.append(torch.exp2(table[below] * (1 - share) + table[below + 1] * share))
        return both[0], both[1]
