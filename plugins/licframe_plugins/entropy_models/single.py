"""Entropy models of one family: a centre, a scale, and a bank of 97 tables.

The residual about the centre is rounded, so its distribution is symmetric about zero and one index into
a bank of tables is enough: scale ``0.11 * 2**(index / 8)``, index 0..96. Where even a Gaussian of the
smallest scale is meant (index 0; a non-zero residual has probability 6e-6), elements are not coded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from licframe.parts import CENTRE_FRACTION, FRACTION, EntropyModel, SymbolCoder, TableBank

from .families import FAMILIES
from .plugin import SingleOptions
from .scales import SCALES, scale_at, scale_index, scale_of

_FLOOR = 1e-9


class Single(EntropyModel):
    """One symmetric density of predicted centre and scale."""

    kinds = ("centre", "log2_scale")
    #: key of FAMILIES, and name of the table file
    family: ClassVar[str]

    def __init__(self, options: SingleOptions) -> None:
        super().__init__()
        self.bank = TableBank.load("licframe_plugins.entropy_models", f"{self.family}.npz")

    def centre(self, parameters: Tensor) -> Tensor:
        return parameters[:, 0]

    def bits(self, residual: Tensor, parameters: Tensor) -> Tensor:
        scale, distance = scale_of(parameters[:, 1]), residual.abs()
        tail = FAMILIES[self.family].tail
        mass = tail((distance - 0.5) / scale) - tail((distance + 0.5) / scale)
        return -mass.clamp_min(_FLOOR).log2()

    def exact_centre(self, parameters: Tensor) -> Tensor:
        return parameters[:, 0].mul(2.0 ** (CENTRE_FRACTION - FRACTION)).add_(0.5).floor_()

    def index(self, parameters: Tensor) -> Tensor:
        """Return table indices, int16, -1 where an element is not coded."""
        index = scale_index(parameters[:, 1])
        return index.masked_fill_(index == 0, -1)

    def code(self, coder: SymbolCoder, parameters: Tensor, symbols: Tensor | None) -> Tensor:
        return coder.code(self.bank, self.index(parameters), symbols)


class Gaussian(Single):
    """Gaussian; the scale is its standard deviation."""

    family = "gaussian"


class Laplace(Single):
    """Laplace density ``exp(-|x| / scale) / (2 scale)``."""

    family = "laplace"


class Logistic(Single):
    """Logistic density; the scale s has standard deviation 1.81 s."""

    family = "logistic"


class StudentT(Single):
    """Student's t with eight degrees of freedom; the scale is its standard deviation.

    Predictions of the scale are uncertain themselves, so residuals have heavier tails than a Gaussian of any
    scale. Of the shapes we fitted to coded residuals this one came nearest, and its distribution function is algebraic.
    """

    family = "student-t"


def make_tables(family: str) -> Sequence[tuple[int, list[float]]]:
    """Return half-width and probabilities of each table; how the npz files were made."""
    found = FAMILIES[family]
    tables = []
    for index in range(SCALES):
        scale = scale_at(index)
        half = min(4096, max(2, math.ceil(found.reach * scale)))
        edges = [found.exact_tail((k - 0.5) / scale) for k in range(half + 2)]
        right = [edges[k] - edges[k + 1] for k in range(half + 1)]
        right[0] = 1.0 - 2.0 * edges[1]
        escape = 2.0 * edges[half + 1]
        tables.append((half, [*right[:0:-1], *right, escape]))
    return tables
