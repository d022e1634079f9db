"""Distribution families on the real line: what a mixture is made of.

Each gives the mass right of a point, ``(1 - F)(u)`` for standardised u >= 0: in torch for training, in
plain floats for making tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

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


def _student(c: Any) -> Any:
    """Return ``(1 - 2 tail) / sine`` of Student's t with eight degrees of freedom, from the squared cosine."""
    return 1 + c * (1 / 2 + c * (3 / 8 + c * (5 / 16)))


def _student_tail(u: Tensor) -> Tensor:
    c = 6 / (6 + u * u)
    return 0.5 - 0.5 * u * torch.rsqrt(6 + u * u) * _student(c)


def _student_exact(u: float) -> float:
    return 0.5 - 0.5 * u / math.sqrt(6 + u * u) * float(_student(6 / (6 + u * u)))


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "gaussian": Family(
            lambda u: 0.5 * torch.erfc(u / math.sqrt(2)), lambda u: 0.5 * math.erfc(u / math.sqrt(2)), 5.0
        ),
        "laplace": Family(_laplace_tail, _laplace, 14.0),
        "logistic": Family(lambda u: torch.sigmoid(-u), _logistic, 15.0),
        # Standardised: u = t * sqrt(3/4), so that the scale is the standard deviation.
        "student-t": Family(_student_tail, _student_exact, 11.6),
    }
)
