"""Distribution families on the real line: what a mixture is made of.

Each gives the mass right of a point, ``(1 - F)(u)`` for standardised u >= 0: in torch for training, in
plain floats for making tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs
import torch
from torch import Tensor


@attrs.frozen
class Family:
    """Upper tail of a standardised symmetric density.

    Attributes:
        tail: for tensors; exact_tail: for floats.
        reach: standardised distance beyond which less than 2^-21 is left on each side.
    """

    tail: Callable[[Tensor], Tensor]
    exact_tail: Callable[[float], float]
    reach: float


def _logistic(u: float) -> float:
    return math.exp(-u) / (1 + math.exp(-u)) if u > 0 else 1 / (1 + math.exp(u))


def _laplace(u: float) -> float:
    return 0.5 * math.exp(-u) if u > 0 else 1 - 0.5 * math.exp(u)


def _laplace_tail(u: Tensor) -> Tensor:
    half = 0.5 * torch.exp(-u.abs())
    return torch.where(u > 0, half, 1 - half)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "gaussian": Family(
            lambda u: 0.5 * torch.erfc(u / math.sqrt(2)), lambda u: 0.5 * math.erfc(u / math.sqrt(2)), 5.0
        ),
        "laplace": Family(_laplace_tail, _laplace, 14.0),
        "logistic": Family(lambda u: torch.sigmoid(-u), _logistic, 15.0),
    }
)
