"""A picture to coefficients of 8x8 blocks, and back.

``analyse`` computes as it likes: a decoder sees only the symbols. ``synthesise`` computes with whole numbers, kept in
float64 and always below 2^53, so that every machine shows the same picture.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 8
FREQUENCIES = SIDE * SIDE
FRACTION = 4
"""Fractional bits of coefficients and steps: they count sixteenths of a level."""
_BITS = 12
"""Fractional bits of the matrices. Rounded so coarsely they do not depend on the last bit of a cosine."""
_LARGEST = 2.0**24
"""Of a coefficient; sums then stay below 2^53, since a column of the cosines adds up to less than 2^14, twice."""

_COSINES = torch.tensor(
    [
        [
            math.sqrt((2 if u else 1) / SIDE) * math.cos((2 * i + 1) * u * math.pi / (2 * SIDE))
            for i in range(SIDE)
        ]
        for u in range(SIDE)
    ],
    dtype=torch.float64,
)
_COLOURS = F.normalize(torch.tensor([[1, 1, 1], [1, 0, -1], [-1, 2, -1]], dtype=torch.float64))
"""Brightness and two differences of red, green and blue."""
_WHOLE_COSINES = (_COSINES * 2**_BITS).round()
_WHOLE_COLOURS = (_COLOURS * 2**_BITS).round()
_ORDER = torch.tensor(sorted(range(FREQUENCIES), key=lambda k: (k // SIDE + k % SIDE, k)))
"""Places of the frequencies in a block, the lowest first."""


def analyse(samples: Tensor) -> Tensor:
    """Return coefficients ``(P, 64, rows, columns)`` of samples ``(P, H, W)``, P = 1 or 3, float64."""
    height, width = samples.shape[1:]
    planes = torch.einsum("pc,chw->phw", _COLOURS, samples) if len(samples) == 3 else samples
    padded = F.pad(planes[None], (0, -width % SIDE, 0, -height % SIDE), mode="replicate")[0]
    blocks = padded.unflatten(2, (-1, SIDE)).unflatten(1, (-1, SIDE))
    coefficients = torch.einsum("ui,pricj,vj->puvrc", _COSINES, blocks, _COSINES)
    return coefficients.flatten(1, 2)[:, _ORDER] * 2**FRACTION


def synthesise(coefficients: Tensor, height: int, width: int) -> Tensor:
    """Return samples ``(P, H, W)`` of coefficients, whole numbers in float64; both as in ``analyse``."""
    square = torch.empty_like(coefficients)
    square[:, _ORDER] = coefficients.clamp(-_LARGEST, _LARGEST)
    square = square.unflatten(1, (SIDE, SIDE))
    blocks = torch.einsum("ui,puvrc,vj->pricj", _WHOLE_COSINES, square, _WHOLE_COSINES)
    planes = _shifted(blocks, 2 * _BITS).flatten(3, 4).flatten(1, 2)[:, :height, :width]
    if len(planes) == 1:
        return _shifted(planes, FRACTION)
    return _shifted(torch.einsum("pc,phw->chw", _WHOLE_COLOURS, planes), _BITS + FRACTION)


def _shifted(values: Tensor, bits: int) -> Tensor:
    """Return whole numbers divided by 2^bits, rounded."""
    return ((values + 2.0 ** (bits - 1)) / 2.0**bits).floor()
