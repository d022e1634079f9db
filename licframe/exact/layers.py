"""Layers whose integer form gives the same numbers on every machine.

A layer is trained in floating point. :meth:`ExactConv.freeze` makes its integer twin: weights,
biases and activations become integers held in float64 tensors (float64 means "integers" on this
path and nothing else). A sum of integers that stays below
2^53 is exact in any order, so threads, batch, BLAS and device cannot change it. Freezing proves
that bound, from the bound of the input, or refuses.

Fixed point: an activation ``a`` is the integer ``a * 2**FRACTION``. Between two layers there are
only additions, floor division by a power of two, and clamps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.errors import NotExactError

FRACTION = 12
"""Fractional bits of every activation and of every predicted parameter."""

ACTIVATION_LIMIT = 256.0
"""Activations are clamped to [0, ACTIVATION_LIMIT], in the float form too."""

WEIGHT_SHIFT = 14
"""Fractional bits of a weight."""

_EXACT = 2.0**53

_FEW = 256
"""Positions below which gathering what all taps see, for one product, costs less."""


class ExactConv(nn.Module):
    """Convolve with stride 1 and zero padding, exactly where the input is float64.

    Shapes: ``(N, in_channels, h, w)`` to ``(N, out_channels, h, w)``. An input in float32 or lower
    takes the differentiable float form; one in float64 holds integers and takes the frozen twin, so
    that one module serves training, refiners and coding.

    Args:
        rows: number of bias vectors; ``forward(x, row)`` picks one. This is how one network
            serves several levels of a pyramid.
    """

    #: the integer twin, in units of 2^-WEIGHT_SHIFT: a power of two changes no sum
    weight_exact: Tensor
    bias_exact: Tensor
    #: the same weights by tap, ``(taps, out, in)``
    taps_exact: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, rows: int = 1) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(rows, out_channels))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Tensor, row: int = 0) -> Tensor:
        if x.dtype != torch.float64:
            return F.conv2d(x, self.weight, self.bias[row], padding=self.kernel // 2)
        n, _, h, w = x.shape
        weight, bias = self.weight_exact.expand(n, -1, -1), self.bias_exact[row][:, None]
        k, border = self.kernel, self.kernel // 2
        if k == 1 or h * w < _FEW:
            columns = x.flatten(2) if k == 1 else F.unfold(x, k, padding=border)
            return torch.baddbmm(bias, weight, columns).floor_().reshape(n, -1, h, w)
        # One product for each tap: in rows laid end to end, borders included, what it sees is a slice.
        wide = w + 2 * border
        rows = F.pad(x, (border, border, border, border + 1)).flatten(2)
        total = bias.expand(n, -1, h * wide).contiguous()
        for tap, weight in enumerate(self.taps_exact):
            begin = tap // k * wide + tap % k
            total.baddbmm_(weight.expand(n, -1, -1), rows[:, :, begin : begin + h * wide])
        return total.floor_().reshape(n, -1, h, wide)[..., :w]

    def rows(self, seen: Tensor, which: Tensor) -> Tensor:
        """Return the float form at some positions, ``(N, K, out_channels)``, in one product.

        Args:
            seen: what the taps see there, ``(N, K, taps * in_channels)``, taps in raster order.
            which: the bias vector of each position, ``(K, rows)`` of zeros and ones.
        """
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(seen, weight) + which @ self.bias

    def freeze(self, bound: float) -> None:
        """Make the integer twin and prove it exact.

        Args:
            bound: largest absolute value of an input, as an integer with FRACTION fractional bits.

        Raises:
            NotExactError: ``sum|w| * bound + |b|`` may reach 2^53, or a weight is not finite.
        """
        # Half a unit turns the floor after the sum into rounding to nearest.
        weight = (self.weight.detach().double() * 2.0**WEIGHT_SHIFT).round()
        bias = (self.bias.detach().double() * 2.0 ** (FRACTION + WEIGHT_SHIFT)).round()
        bias += 2.0 ** (WEIGHT_SHIFT - 1)
        total = float((weight.abs().sum((1, 2, 3)) * bound + bias.abs().amax(0)).max())
        if not total < _EXACT:
            raise NotExactError(
                f"a layer of shape {tuple(self.weight.shape)} can reach {total:.3g}, not below 2^53 = "
                f"{_EXACT:.3g}, so its sums could be rounded; train with smaller, finite weights"
            )
        unit = 2.0**-WEIGHT_SHIFT
        self.register_buffer("weight_exact", weight.flatten(1) * unit, persistent=False)
        if self.kernel > 1:
            taps = weight.flatten(2).permute(2, 0, 1).contiguous()
            self.register_buffer("taps_exact", taps * unit, persistent=False)
        self.register_buffer("bias_exact", bias * unit, persistent=False)


class ExactReLU(nn.Module):
    """Clamp to [0, ACTIVATION_LIMIT]; the same function in float and in integers (float64).

    The integer form overwrites its input.
    """

    #: largest output of the integer form
    bound = ACTIVATION_LIMIT * 2.0**FRACTION

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp_(0.0, self.bound) if x.dtype == torch.float64 else x.clamp(0.0, ACTIVATION_LIMIT)
