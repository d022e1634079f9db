"""The ladder of scales that all families share, and gradients at its lower end."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

from licframe.exact.layers import FRACTION

LOG2_SCALE_MIN = math.log2(0.11)
STEPS_PER_OCTAVE = 8
SCALES = 97


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


def scale_of(log2_scale: Tensor) -> Tensor:
    """Return scales in quantisation steps, float form, within the ladder."""
    top = LOG2_SCALE_MIN + (SCALES - 1) / STEPS_PER_OCTAVE
    return torch.exp2(lower_bound(log2_scale, LOG2_SCALE_MIN).clamp_max(top))


def scale_index(log2_scale: Tensor) -> Tensor:
    """Return rungs 0..96 of the ladder for integer log2 scales, int16."""
    # floor((log2_scale - minimum) * 8 + 1/2); multiples of powers of two, so nothing is rounded
    unit = STEPS_PER_OCTAVE * 2.0**-FRACTION
    minimum = round(LOG2_SCALE_MIN * 2**FRACTION) * unit
    return log2_scale.mul(unit).add_(0.5 - minimum).floor_().clamp_(0, SCALES - 1).short()


def scale_at(index: int) -> float:
    """Return the scale of a rung, in quantisation steps."""
    return float(2.0 ** (LOG2_SCALE_MIN + index / STEPS_PER_OCTAVE))
