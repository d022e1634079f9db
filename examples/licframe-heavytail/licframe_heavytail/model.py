"""An entropy model: predicted parameters to probabilities.

What an entropy model must have:

1. ``kinds``: what is predicted for each element. "centre", "log2_scale" and "weight" are known to every context scheduler.
2. ``centre`` and ``bits``, for training: float, and differentiable. ``bits`` is what a residual costs.
3. ``exact_centre`` and ``code``, for files: the same from integers. ``code`` chooses a table for each element, and gives
   tables and residuals to the range coder. It may do nothing that rounds: encoder and decoder need the same numbers.

Both forms have to agree: the conformance test compares their bits. A scale is rounded to one of a few dozen; each has a
table of integers, made once.

Here the density is a Gaussian of predicted centre and scale, mixed with a wide Laplace density of four times its scale.
Where to go on: another density in ``_tail``, its twin in ``bits``; or one more parameter, and a table for each of its values.

The tables are computed once, when the class is built, and rounded to integers. A package whose files must
decode on every machine would ship them as data (``TableBank.load``), as licframe's own do: the last bit of
``math.erfc`` may differ between machines.
"""

import math

import torch
from torch import Tensor

from licframe.parts import CENTRE_FRACTION, FRACTION, EntropyModel, SymbolCoder, TableBank

from .plugin import HeavyTailOptions

_RUNGS = 49  # scales 0.11 * 2^(k / 4)
_LOWEST = math.log2(0.11)


class HeavyTail(EntropyModel):
    """A Gaussian with a wide tail."""

    kinds = ("centre", "log2_scale")

    def __init__(self, options: HeavyTailOptions) -> None:
        super().__init__()
        self.share = options.share
        self.bank = TableBank.from_probabilities([self._table(0.11 * 2 ** (k / 4)) for k in range(_RUNGS)])

    def _tail(self, distance: float, scale: float) -> float:
        gaussian = 0.5 * math.erfc(distance / scale / math.sqrt(2))
        laplace = (
            0.5 * math.exp(-distance / (4 * scale))
            if distance > 0
            else 1 - 0.5 * math.exp(distance / (4 * scale))
        )
        return (1 - self.share) * gaussian + self.share * laplace

    def _table(self, scale: float) -> tuple[int, list[float]]:
        half = min(2048, max(4, math.ceil(20 * scale)))
        edges = [self._tail(k - 0.5, scale) for k in range(half + 2)]
        right = [edges[k] - edges[k + 1] for k in range(half + 1)]
        right[0] = 1 - 2 * edges[1]
        return half, [*right[:0:-1], *right, 2 * edges[half + 1]]

    def centre(self, parameters: Tensor) -> Tensor:
        return parameters[:, 0]

    def bits(self, residual: Tensor, parameters: Tensor) -> Tensor:
        scale = torch.exp2(parameters[:, 1].clamp(_LOWEST, _LOWEST + (_RUNGS - 1) / 4))
        distance = residual.abs()

        def tail(x: Tensor) -> Tensor:
            gaussian = 0.5 * torch.erfc(x / scale / math.sqrt(2))
            side = 0.5 * torch.exp(-x.abs() / (4 * scale))
            return (1 - self.share) * gaussian + self.share * torch.where(x > 0, side, 1 - side)

        return -(tail(distance - 0.5) - tail(distance + 0.5)).clamp_min(1e-9).log2()

    def exact_centre(self, parameters: Tensor) -> Tensor:
        shift = FRACTION - CENTRE_FRACTION
        return ((parameters[:, 0] + 2.0 ** (shift - 1)) / 2.0**shift).floor_()

    def code(self, coder: SymbolCoder, parameters: Tensor, symbols: Tensor | None) -> Tensor:
        lowest = round(_LOWEST * 2**FRACTION)
        index = ((parameters[:, 1] - lowest) * 4 / 2.0**FRACTION).round_().clamp_(0, _RUNGS - 1)
        return coder.code(self.bank, index.long(), symbols)
