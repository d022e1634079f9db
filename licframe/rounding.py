"""Rounding by what it costs: rate-distortion optimised quantisation in one pass, without a search."""

from __future__ import annotations

import torch
from torch import Tensor

from licframe.exact.layers import FRACTION
from licframe.interfaces import EntropyModel


def cheapest(residual: Tensor, model: EntropyModel, parameters: Tensor, step_bits: float) -> Tensor:
    """Return residuals rounded to the nearest, or to one nearer to zero where that saves more than it spoils.

    Args:
        residual: ``(N, c, rows, columns)``, in quantisation steps; parameters: the model's, exact form.
        step_bits: what a squared error of one step counts, in bits; 0 rounds to the nearest.
    """
    symbols = residual.round()
    some = symbols != 0
    if not step_bits or not some.any():
        return symbols
    nearest = symbols[some]
    nearer = nearest - nearest.sign()
    floats = parameters.movedim(1, 0)[:, some].mul(2.0**-FRACTION).float()[None, :, :, None, None]
    before, after = (
        model.bits(k.float()[None, :, None, None], floats).flatten() for k in (nearest, nearer)
    )
    # how much the squared error grows
    spoiled = 1 - 2 * (nearest - residual[some]) * nearest.sign()
    symbols[some] = torch.where(before - after > step_bits * spoiled, nearer, nearest)
    return symbols
