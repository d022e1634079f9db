"""Deformable convolution against a naive loop, torchvision where it imports, and plain convolution."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from licframe_plugins.deformable.convolution import DeformConv, deform_conv


def problem(seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return (
        normal(2, 3, 5, 7),
        2 * normal(2, 18, 5, 7),
        normal(4, 3, 3, 3),
        normal(4),
        normal(2, 9, 5, 7).sigmoid(),
    )


def sample(plane: torch.Tensor, row: float, column: float) -> float:
    """Bilinear value of a plane, zero outside."""
    total = 0.0
    top, left = math.floor(row), math.floor(column)
    for r in (top, top + 1):
        for c in (left, left + 1):
            if 0 <= r < plane.shape[0] and 0 <= c < plane.shape[1]:
                total += (1 - abs(row - r)) * (1 - abs(column - c)) * float(plane[r, c])
    return total


def test_equals_a_naive_loop() -> None:
    x, offset, weight, bias, mask = problem()
    out = deform_conv(x, offset, weight, bias, mask)
    for n, o, i, j in [(0, 0, 0, 0), (1, 3, 4, 6), (0, 2, 2, 3), (1, 1, 0, 5), (0, 3, 4, 0)]:
        total = float(bias[o])
        for tap in range(9):
            row = i + tap // 3 - 1 + float(offset[n, 2 * tap, i, j])
            column = j + tap % 3 - 1 + float(offset[n, 2 * tap + 1, i, j])
            for c in range(x.shape[1]):
                factor = float(weight[o, c, tap // 3, tap % 3]) * float(mask[n, tap, i, j])
                total += factor * sample(x[n, c], row, column)
        assert float(out[n, o, i, j]) == pytest.approx(total, abs=1e-4)


def test_equals_torchvision_where_it_imports() -> None:
    try:
        from torchvision.ops import deform_conv2d
    except (ImportError, RuntimeError, OSError):
        pytest.skip("torchvision does not import")
    x, offset, weight, bias, mask = problem(1)
    wanted = deform_conv2d(x, offset, weight, bias, padding=1, mask=mask)

    assert torch.allclose(deform_conv(x, offset, weight, bias, mask), wanted, atol=1e-4)


def test_starts_as_an_ordinary_convolution_and_learns_offsets() -> None:
    layer = DeformConv(3, 4)
    x = torch.randn(1, 3, 6, 5)
    out = layer(x)
    out.square().sum().backward()

    assert torch.allclose(out, F.conv2d(x, layer.weight, layer.bias, padding=1), atol=1e-5)
    assert float(layer.offsets.weight.grad.abs().sum()) > 0
