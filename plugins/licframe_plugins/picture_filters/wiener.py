"""A filter made for one picture: what the synthesis gets wrong in the same way all over it.

A Wiener filter, as AV1 and VVC send one with each frame. The encoder has the original, and solves for the few
coefficients that bring the decoded picture nearest to it; each is sent only where it saves more than it costs.
What the decoder adds to each of three colour planes (brightness and two differences) is a linear combination of

    each plane, and its symmetric differences to six pairs of neighbours (a diamond in 5x5),
    the same times the gradient's magnitude, times how far a sample stands out, and times the brightness.

The products are what a linear filter lacks: edges, ridges and shadows get their own. The choice of terms is ours. It
works on the output of any synthesis, and needs no exactness: the latent is decoded already.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from licframe.parts import BIT_TOTAL, CorruptStreamError, Decoder, Encoder, PictureFilter

from .plugin import Options

_RADIUS = 2
_PAIRS = ((0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0))
"""Row and column of one of each pair of neighbours; the other lies opposite."""
_FACTORS = 4
_TERMS = _FACTORS * 3 * (1 + len(_PAIRS))
SIZE = 3 * _TERMS
"""Coefficients of a filter: ``(plane, factor, plane it is made of, sample or pair)``."""
_FRACTION = 8
"""Fractional bits of a coefficient."""
_PLAIN_BITS, _MOST_DOUBLINGS = 4, 6
_LARGEST = 2 ** (_PLAIN_BITS + _MOST_DOUBLINGS)
_BITS_EACH = 8.0
"""About what a coefficient costs, with its place."""
_STRIP = 2**17
"""Positions that are worked on together: memory does not grow with the picture."""
_ROW_STEP = 3
"""Rows apart that it looks at: no multiple of any block's size."""

_COLOURS = np.array([[1.0, 1, 1], [1, 0, -1], [-0.5, 1, -0.5]])
_PLANES = torch.from_numpy(_COLOURS / np.linalg.norm(_COLOURS, axis=1, keepdims=True)).float()

Coefficients = NDArray[np.int64]
"""``(SIZE,)`` integers with 8 fractional bits."""


class WienerFilter(PictureFilter):
    """The filter of this module."""

    halo = _RADIUS

    def __init__(self, options: Options) -> None:
        self.options = options

    def fit(self, decoded: Tensor, image: Tensor, weight: float) -> bytes | None:
        found = fit(decoded, image, weight)
        return None if found is None else pack(found)

    def apply(self, decoded: Tensor, data: bytes) -> Tensor:
        return apply(decoded, unpack(data))


def apply(decoded: Tensor, coefficients: Coefficients) -> Tensor:
    """Return a decoded picture ``(1, 3, H, W)``, values in [0, 1], with the filter's corrections added."""
    terms = torch.from_numpy(coefficients.reshape(3, _FACTORS, 3, -1).astype(np.float32)) * 2.0**-_FRACTION
    # From colours to planes and back, and from differences of pairs to their sums: part of the matrix
    matrix = torch.einsum("po,pfqt,qi->foit", _PLANES, terms, _PLANES)
    matrix, planes = matrix.to(decoded.device), _PLANES.to(decoded.device)
    centre, pairs = matrix[..., :1], matrix[..., 1:]
    matrix = torch.cat([centre - pairs.sum(-1, keepdim=True), pairs / 2], -1).flatten(0, 1).flatten(1)
    padded = _padded(decoded)[0]
    brightness = torch.einsum("i,ihw->hw", planes[0], padded)
    height, width = decoded.shape[-2:]
    rows, strips = max(1, _STRIP // width), []
    for top in range(0, height, rows):
        seen = padded[:, top : top + rows + 2 * _RADIUS]
        sums = _sums(seen)
        products = matrix @ sums.flatten(0, 1).flatten(1)
        plain, *others = products.view(_FACTORS, 3, *sums.shape[2:]).unbind()
        strip = decoded[0, :, top : top + rows] + plain
        factors = _factors(brightness[top : top + rows + 2 * _RADIUS])
        for product, factor in zip(others, factors, strict=True):
            strip = torch.addcmul(strip, product, factor)
        strips.append(strip)
    return torch.cat(strips, 1)[None]


def fit(decoded: Tensor, image: Tensor, weight: float) -> Coefficients | None:
    """Return the filter that is worth its bits; None if there is none.

    Args:
        decoded: the decoded picture, values in [0, 1]; image: the original; both ``(1, 3, H, W)``.
        weight: bits per unit of squared error.
    """
    solution = _greedy(*_statistics(decoded, image), _BITS_EACH / weight)
    steps = np.rint(solution.T.reshape(-1) * 2**_FRACTION).astype(np.int64)

    def cost(coefficients: Coefficients | None) -> float:
        if coefficients is None:
            return weight * float((decoded - image).square().sum())
        return 8 * len(pack(coefficients)) + weight * float(
            (apply(decoded, coefficients) - image).square().sum()
        )

    return min((None, steps.clip(-_LARGEST, _LARGEST)), key=cost)


def pack(coefficients: Coefficients) -> bytes:
    """Return a filter as coded bytes."""
    encoder = Encoder()
    encoder.code_flags(coefficients != 0)
    values = coefficients[coefficients != 0]
    _code_even(encoder, values < 0)
    # exponential Golomb code
    rest, bits = np.abs(values) - 1, np.full(len(values), _PLAIN_BITS)
    going = np.arange(len(values))
    while len(going):
        further = rest[going] >= 2 ** bits[going]
        _code_even(encoder, further)
        going = going[further]
        rest[going] -= 2 ** bits[going]
        bits[going] += 1
    place = np.arange(_PLAIN_BITS + _MOST_DOUBLINGS)
    _code_even(encoder, (rest[:, None] >> place & 1 == 1)[place < bits[:, None]])
    return encoder.finish()


def unpack(data: bytes) -> Coefficients:
    """Invert :func:`pack`.

    Raises:
        CorruptStreamError: the bytes are no filter.
    """
    decoder = Decoder(data)
    coefficients = np.zeros(SIZE, np.int64)
    places = np.flatnonzero(decoder.code_flags(SIZE))
    negative = _code_even(decoder, count=len(places))
    values, bits = np.ones(len(places), np.int64), np.full(len(places), _PLAIN_BITS)
    going = np.arange(len(places))
    while len(going):
        going = going[_code_even(decoder, count=len(going))]
        values[going] += 2 ** bits[going]
        bits[going] += 1
        if bits.max() > _PLAIN_BITS + _MOST_DOUBLINGS:
            raise CorruptStreamError("the coded filter is damaged (a coefficient is out of range)")
    place = np.arange(_PLAIN_BITS + _MOST_DOUBLINGS)
    inside = place < bits[:, None]
    below = np.zeros(inside.shape, np.int64)
    below[inside] = _code_even(decoder, count=int(inside.sum()))
    values += (below << place).sum(1)
    coefficients[places] = np.where(negative, -values, values)
    decoder.finish()
    return coefficients


def _code_even(
    coder: Encoder | Decoder, bits: NDArray[np.bool_] | None = None, count: int = 0
) -> NDArray[np.bool_]:
    """Code decisions that are as likely as not."""
    size = count if bits is None else len(bits)
    return coder.code_bits(np.full(size, BIT_TOTAL // 2), bits)


def _shifted(planes: Tensor, row: int, column: int) -> Tensor:
    """Return what lies at an offset from each position of padded planes ``(..., H + 4, W + 4)``."""
    height, width = planes.shape[-2:]
    r = _RADIUS
    return planes[..., r + row : height - r + row, r + column : width - r + column]


def _sums(planes: Tensor) -> Tensor:
    """Return ``(3, 7, H, W)`` of padded planes: each, and the sums of its pairs of neighbours."""
    centre = _shifted(planes, 0, 0)
    pairs = [(_shifted(planes, y, x), _shifted(planes, -y, -x)) for y, x in _PAIRS]
    if planes.requires_grad:
        return torch.stack([centre, *(a + b for a, b in pairs)], 1)
    sums = planes.new_empty(len(planes), 1 + len(pairs), *centre.shape[1:])
    sums[:, 0] = centre
    for number, (a, b) in enumerate(pairs, 1):
        torch.add(a, b, out=sums[:, number])
    return sums


def _statistics(decoded: Tensor, image: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return products of the terms with each other ``(T, T)``, and with the error of each plane ``(T, 3)``.

    Sums over the picture, from every third row.
    """
    to_planes = _PLANES.to(decoded.device)
    planes = torch.einsum("pi,ihw->phw", to_planes, _padded(decoded)[0])
    error = torch.einsum("pi,ihw->phw", to_planes, (image - decoded)[0])
    factors = torch.stack(_factors(planes[0]))
    height, width = error.shape[1:]
    step = _ROW_STEP if height > _ROW_STEP else 1
    gram, moments = np.zeros((_TERMS, _TERMS)), np.zeros((_TERMS, 3))
    for rows in torch.arange(step // 2, height, step).split(max(1, _STRIP // width)):

        def shifted(row: int, column: int, rows: Tensor = rows) -> Tensor:
            left = _RADIUS + column
            return planes[:, rows + _RADIUS + row, left : left + width]

        centre = shifted(0, 0)
        pairs = [(shifted(y, x) + shifted(-y, -x)) / 2 - centre for y, x in _PAIRS]
        plain = torch.stack([centre, *pairs], 1)
        products = [plain * factor for factor in factors[:, None, None, rows]]
        terms = torch.stack([plain, *products]).flatten(0, 2).flatten(1)
        gram += (terms @ terms.T).cpu().numpy()
        moments += (terms @ error[:, rows].flatten(1).T).cpu().numpy()
    return step * gram, step * moments


def _greedy(gram: NDArray[np.float64], moments: NDArray[np.float64], price: float) -> NDArray[np.float64]:
    """Return coefficients ``(T, 3)``: the most useful one first, as long as it saves more error than its price."""
    solution = np.zeros_like(moments)
    chosen: list[list[int]] = [[], [], []]
    power = np.maximum(gram.diagonal()[:, None], 1e-12)
    while True:
        left = moments - gram @ solution
        saving = left**2 / power
        for plane, places in enumerate(chosen):
            saving[places, plane] = 0
        term, plane = (int(place) for place in np.unravel_index(saving.argmax(), saving.shape))
        if saving[term, plane] <= price:
            return solution
        places = chosen[plane]
        places.append(term)
        own = gram[np.ix_(places, places)]
        solution[places, plane] = np.linalg.solve(
            own + 1e-9 * np.diag(own.diagonal()), moments[places, plane]
        )


def _padded(picture: Tensor) -> Tensor:
    return F.pad(picture.contiguous() - 0.5, (_RADIUS,) * 4, mode="replicate")


def _factors(brightness: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what terms are multiplied with, ``(H, W)`` each, from the padded plane of brightness."""
    centre, up, down, left, right = (
        _shifted(brightness, y, x) for y, x in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
    )
    gradient = ((right - left).abs() + (down - up).abs()).clamp(max=1)
    outstanding = (5 * (centre - (up + down + left + right) / 4)).clamp(-1, 1)
    return gradient, outstanding, centre
