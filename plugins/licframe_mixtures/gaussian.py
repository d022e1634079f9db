"""One Gaussian per element: centre and log2 of the scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from licframe.exact.layers import FRACTION
from licframe.exact.tables import TableBank
from licframe.exact.units import CENTRE_FRACTION
from licframe.interfaces import EntropyModel, SymbolCoder

from .plugin import GaussianOptions

LOG2_SCALE_MIN = math.log2(0.11)
STEPS_PER_OCTAVE = 8
SCALES = 97
_FLOOR = 1e-9


class _LowerBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x < bound)
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (below,) = ctx.saved_tensors
        return torch.where(below & (grad > 0), 0.0, grad), None


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """Return max(x, bound), with a gradient below the bound where it raises x.

    A plain clamp would never let an element escape the smallest scale, whatever it costs.
    """
    return cast("Tensor", _LowerBound.apply(x, bound))


def log2_probability(residual: Tensor, scale: Tensor) -> Tensor:
    """Return log2 of a zero-mean Gaussian's mass on ``residual +- 1/2``, floored at 1e-9."""
    distance = residual.abs()
    root = scale * math.sqrt(2.0)
    mass = 0.5 * (torch.erfc((distance - 0.5) / root) - torch.erfc((distance + 0.5) / root))
    return mass.clamp_min(_FLOOR).log2()


class Gaussian(EntropyModel):
    """Gaussian of predicted centre and scale.

    The residual about the centre is rounded, so its distribution is symmetric about zero and one
    index into a bank of tables is enough: scale ``0.11 * 2**(index / 8)``, index 0..96. At index 0 a
    non-zero residual has probability 6e-6: such elements are not coded.
    """

    kinds = ("centre", "log2_scale")

    def __init__(self, options: GaussianOptions) -> None:
        super().__init__()
        self.bank = TableBank.load("licframe_mixtures", "gaussian.npz")

    def centre(self, parameters: Tensor) -> Tensor:
        return parameters[:, 0]

    def bits(self, residual: Tensor, parameters: Tensor) -> Tensor:
        top = LOG2_SCALE_MIN + (SCALES - 1) / STEPS_PER_OCTAVE
        scale = torch.exp2(lower_bound(parameters[:, 1], LOG2_SCALE_MIN).clamp_max(top))
        return -log2_probability(residual, scale)

    def exact_centre(self, parameters: Tensor) -> Tensor:
        shift = FRACTION - CENTRE_FRACTION
        return ((parameters[:, 0] + 2.0 ** (shift - 1)) / 2.0**shift).floor_()

    def index(self, parameters: Tensor) -> Tensor:
        """Return table indices, int64, -1 where an element is not coded."""
        # floor((log2_scale - minimum) * 8 + 1/2) in fixed point
        minimum = round(LOG2_SCALE_MIN * 2**FRACTION)
        index = (parameters[:, 1] - minimum) * STEPS_PER_OCTAVE + 2.0 ** (FRACTION - 1)
        index = (index / 2.0**FRACTION).floor_().clamp_(0, SCALES - 1).long()
        return torch.where(index == 0, -1, index)

    def code(self, coder: SymbolCoder, parameters: Tensor, symbols: Tensor | None) -> Tensor:
        return coder.code(self.bank, self.index(parameters), symbols)


def make_tables() -> Sequence[tuple[int, list[float]]]:
    """Return half-width and probabilities of each table; how ``gaussian.npz`` was made."""
    tables = []
    for index in range(SCALES):
        scale = 2.0 ** (LOG2_SCALE_MIN + index / STEPS_PER_OCTAVE)
        half = max(2, math.ceil(5.0 * scale))
        root = scale * math.sqrt(2.0)
        edges = [0.5 * math.erfc((k - 0.5) / root) for k in range(half + 2)]
        right = [edges[k] - edges[k + 1] for k in range(half + 1)]
        right[0] = 1.0 - 2.0 * edges[1]
        escape = 2.0 * edges[half + 1]
        tables.append((half, [*right[:0:-1], *right, escape]))
    return tables
