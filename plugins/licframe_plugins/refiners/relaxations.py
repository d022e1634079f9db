"""What takes the place of rounding while a latent is searched by gradients.

Each is made for a step of the search with ``progress`` in [0, 1) and maps residuals about their
predicted centres to relaxed ones. Random numbers come from the search's own generator, so that searches in
several threads do not change each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs
import torch
from torch import Tensor

_EPSILON = 1e-5


def _temperature(progress: float, start: float, end: float) -> float:
    return start * (end / start) ** progress


def noise(_: float, generator: torch.Generator | None) -> Callable[[Tensor], Tensor]:
    """Add uniform noise in +-1/2."""
    return lambda residual: (
        residual + torch.rand(residual.shape, generator=generator, device=residual.device) - 0.5
    )


def straight_through(_: float, __: torch.Generator | None) -> Callable[[Tensor], Tensor]:
    """Round; the gradient is that of the identity."""
    return lambda residual: residual + (residual.round() - residual).detach()


def sga(progress: float, generator: torch.Generator | None) -> Callable[[Tensor], Tensor]:
    """Stochastic Gumbel annealing between floor and ceiling (arXiv 2006.04240).

    Logits are ``-atanh(distance) / T``, T falls from 0.5 to 0.1.
    """
    temperature = _temperature(progress, 0.5, 0.1)

    def quantise(residual: Tensor) -> Tensor:
        low = residual.detach().floor()
        part = (residual - low).clamp(_EPSILON, 1 - _EPSILON)
        logits = torch.stack([-torch.atanh(part), -torch.atanh(1 - part)]) / temperature
        return low + _gumbel_softmax(logits, temperature, generator)[1]

    return quantise


def sga_plus(progress: float, generator: torch.Generator | None) -> Callable[[Tensor], Tensor]:
    """Three-class SGA+ with sigmoid-scaled logits (arXiv 2401.17789): one below, nearest, one above.

    The probability of a neighbour at distance d is proportional to ``sigmoid(-1.4 * logit(d)) ** 1.4`` for
    d < 1 and 0 beyond. T falls from 1 to 0.2: a search of a hundred steps gains a quarter to a third more than from 0.5
    to 0.1 (docs/results).
    """
    temperature = _temperature(progress, 1.0, 0.2)

    def quantise(residual: Tensor) -> Tensor:
        nearest = residual.detach().round()
        offsets = torch.arange(-1.0, 2.0, device=residual.device).view(-1, *[1] * residual.dim())
        distance = (residual - nearest - offsets).abs().clamp(_EPSILON, 1 - _EPSILON)
        logits = 1.4 * torch.nn.functional.logsigmoid(-1.4 * torch.logit(distance)) / temperature
        weights = _gumbel_softmax(logits, temperature, generator)
        return nearest + weights[2] - weights[0]

    return quantise


def _gumbel_softmax(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Return weights of the classes, which are the first dimension: so the softmax runs over long rows."""
    uniform = torch.rand(logits.shape, generator=generator, device=logits.device).clamp_(1e-9, 1 - 1e-7)
    return torch.softmax((logits - torch.log(-torch.log(uniform))) / temperature, 0)


@attrs.frozen
class Relaxation:
    """Makes the map of residuals at a progress; ``unit_slope``: its derivative is one, so all steps go at once."""

    make: Callable[[float, torch.Generator | None], Callable[[Tensor], Tensor]]
    unit_slope: bool


RELAXATIONS: Mapping[str, Relaxation] = MappingProxyType(
    {
        "noise": Relaxation(noise, unit_slope=True),
        "straight-through": Relaxation(straight_through, unit_slope=True),
        "sga": Relaxation(sga, unit_slope=False),
        "sga-plus": Relaxation(sga_plus, unit_slope=False),
    }
)
