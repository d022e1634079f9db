"""Modulated deformable 3x3 convolution (arXiv 1811.11168) on ``grid_sample``.

Every tap of the kernel looks where the features say: at its own place plus a learned offset, weighted by a
learned factor in [0, 2]. At the start offsets are zero and factors one: an ordinary convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.interfaces import trained_as

TAPS = 9


def deform_conv(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    """Convolve with stride 1 and padding 1, sampling bilinearly; zero outside.

    Args:
        x: ``(N, C, H, W)``; weight: ``(O, C, 3, 3)``; bias: ``(O,)``.
        offset: ``(N, 18, H, W)`` in pixels, (row, column) of each tap in raster order; mask: ``(N, 9, H, W)``.

    Returns:
        ``(N, O, H, W)``, as ``torchvision.ops.deform_conv2d`` gives.
    """
    n, _, h, w = x.shape
    rows = torch.arange(h, device=x.device, dtype=x.dtype)[:, None]
    columns = torch.arange(w, device=x.device, dtype=x.dtype)
    taps = torch.arange(TAPS, device=x.device)
    shift = offset.reshape(n, TAPS, 2, h, w)
    row = rows + (taps // 3 - 1)[:, None, None] + shift[:, :, 0]
    column = columns + (taps % 3 - 1)[:, None, None] + shift[:, :, 1]
    # Pixel centres at odd multiples of 1/size: the convention of align_corners=False.
    grid = torch.stack([(2 * column + 1) / w - 1, (2 * row + 1) / h - 1], -1)
    seen = F.grid_sample(x, grid.reshape(n, TAPS * h, w, 2), "bilinear", "zeros", align_corners=False)
    seen = seen.reshape(n, -1, TAPS, h, w) * mask[:, None]
    return F.conv2d(seen.flatten(1, 2), weight.flatten(2).flatten(1)[:, :, None, None], bias)


class DeformConv(nn.Module):
    """A 3x3 convolution whose taps move; offsets and factors come from the features themselves."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.offsets = nn.Conv2d(channels, 3 * TAPS, 3, padding=1)
        nn.init.kaiming_normal_(self.weight, nonlinearity="leaky_relu")
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.offsets.bias)
        trained_as("output", self.offsets.weight)

    def forward(self, x: Tensor) -> Tensor:
        moves = self.offsets(x)
        offset, factor = moves[:, : 2 * TAPS], 2 * torch.sigmoid(moves[:, 2 * TAPS :])
        return deform_conv(x, offset, self.weight, self.bias, factor)
