"""A density of sparse coefficients: a Laplace of predicted scale, and a wider one that a share of them comes from.

Its tables go down to zeros that cost next to nothing, and every element is coded: nothing is ever lost.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from licframe.parts import FRACTION, EntropyModel, SymbolCoder, TableBank

_SHARE, _WIDER = 0.12, 3.0
"""Of the outliers, and how much wider they are."""

_SMALLEST, _STEPS, _SCALES = 0.02, 8, 105
"""The scale of the first table, tables an octave, and tables: up to 163 steps."""

_REACH = 10.0
_LARGEST_HALF = 2048
_FLOOR = 1e-9


class Sparse(EntropyModel):
    """Two Laplace densities about zero; the only parameter is log2 of the narrower one's scale."""

    kinds = ("log2_scale",)

    def __init__(self, options: Any) -> None:
        super().__init__()
        self.bank = TableBank.load("licframe_plugins.detail", "sparse.npz")

    def centre(self, parameters: Tensor) -> Tensor:
        return torch.zeros_like(parameters[:, 0])

    def bits(self, residual: Tensor, parameters: Tensor) -> Tensor:
        scale = torch.exp2(parameters[:, 0].clamp(math.log2(_SMALLEST), math.log2(_scale_at(_SCALES - 1))))
        distance = residual.abs()
        mass = (1 - _SHARE) * _mass(distance, scale) + _SHARE * _mass(distance, scale * _WIDER)
        return -mass.clamp_min(_FLOOR).log2()

    def exact_centre(self, parameters: Tensor) -> Tensor:
        return torch.zeros_like(parameters[:, 0])

    def code(self, coder: SymbolCoder, parameters: Tensor, symbols: Tensor | None) -> Tensor:
        # floor((log2_scale - minimum) * 8 + 1/2); multiples of powers of two, so nothing is rounded
        unit = _STEPS * 2.0**-FRACTION
        minimum = round(math.log2(_SMALLEST) * 2**FRACTION) * unit
        index = parameters[:, 0].mul(unit).add_(0.5 - minimum).floor_().clamp_(0, _SCALES - 1).short()
        return coder.code(self.bank, index, symbols)


def _mass(distance: Tensor, scale: Tensor) -> Tensor:
    """Return the probability of the integer, or of the unit interval, about a distance from zero."""
    inside = 1 - 0.5 * (
        torch.exp(-(distance + 0.5) / scale) + torch.exp((distance - 0.5).clamp_max(0) / scale)
    )
    outside = 0.5 * torch.exp(-(distance - 0.5).clamp_min(0) / scale) * (1 - torch.exp(-1 / scale))
    return torch.where(distance < 0.5, inside, outside)


def _scale_at(index: int) -> float:
    return float(_SMALLEST * 2.0 ** (index / _STEPS))


def _tail(edge: float, scale: float) -> float:
    """Return the mass beyond an edge above zero."""
    return 0.5 * ((1 - _SHARE) * math.exp(-edge / scale) + _SHARE * math.exp(-edge / (scale * _WIDER)))


def make_tables() -> list[tuple[int, list[float]]]:
    """Return half-width and probabilities of each table; how the npz file was made."""
    tables = []
    for index in range(_SCALES):
        scale = _scale_at(index)
        half = min(_LARGEST_HALF, max(2, math.ceil(_REACH * scale * _WIDER)))
        edges = [_tail(k + 0.5, scale) for k in range(half + 1)]
        right = [edges[k] - edges[k + 1] for k in range(half)]
        tables.append((half, [*right[::-1], 1 - 2 * edges[0], *right, 2 * edges[half]]))
    return tables
