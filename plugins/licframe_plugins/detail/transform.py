"""The 8x8 cosine transform of three orthonormal colour planes: complete, so that any picture comes back."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.parts import Transform, full_precision

_SIDE = 8
_PLANES = 3
_SCALE = 8.0
"""Of coefficients: context networks like those that are near one."""

_CHROMA_LATER = 6
"""Diagonals by which colour differences come later in the order of channels."""


def _colours() -> Tensor:
    """Return grey and two colour differences, rows of an orthonormal matrix."""
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]], dtype=torch.float64)
    return rows / rows.norm(dim=1, keepdim=True)


def _cosines() -> Tensor:
    """Return the orthonormal cosines, a frequency a row."""
    position = torch.arange(_SIDE, dtype=torch.float64)
    rows = torch.cos(math.pi / _SIDE * position[:, None] * (position + 0.5))
    return rows / rows.norm(dim=1, keepdim=True)


def _basis() -> Tensor:
    """Return the functions ``(192, 3, 8, 8)``, low frequencies first."""
    cosines, colours = _cosines(), _colours()
    functions = torch.einsum("pc,vy,ux->pvucyx", colours, cosines, cosines).flatten(0, 2)
    plane, v, u = (t.flatten() for t in torch.meshgrid(*map(torch.arange, (3, 8, 8)), indexing="ij"))
    late = (u + v) + _CHROMA_LATER * (plane > 0)
    order = sorted(range(len(functions)), key=lambda k: (int(late[k]), int(plane[k]), int(v[k])))
    return functions[order] * _SCALE


class BlockTransform(Transform):
    """Coefficients ``(N, 192, ceil(H / 8), ceil(W / 8))`` of blocks, sorted by frequency, times eight.

    Pictures are taken about 0: a difference of two pictures is one.
    """

    stride = _SIDE
    latent_channels = _PLANES * _SIDE**2
    trainable = False
    analysis_halo = synthesis_halo = 0  # a block knows no other

    basis: Tensor

    def __init__(self, options: Any) -> None:
        super().__init__()
        self.register_buffer("basis", _basis().float(), persistent=False)

    def analysis(self, image: Tensor, quality: Tensor) -> Tensor:
        h, w = image.shape[-2:]
        image = F.pad(image, (0, -w % _SIDE, 0, -h % _SIDE), mode="replicate")
        with full_precision(image.device):
            return F.conv2d(image.float(), self.basis, stride=_SIDE)

    def synthesis(self, latent: Tensor, quality: Tensor) -> Tensor:
        with full_precision(latent.device):
            return F.conv_transpose2d(latent.float(), self.basis / _SCALE**2, stride=_SIDE)

    @property
    def decoder(self) -> nn.Module:
        return self
