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

from licframe.errors import CorruptStreamError
from licframe.exact.coder import BIT_TOTAL, Decoder, Encoder

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


def apply(decoded: Tensor, coefficients: Coefficients) -> Tensor:
    """Return decoded pictures ``(1, 3, H, W)``, values in [0, 1], with the filter's corrections added."""
    terms = torch.from_numpy(coefficients.reshape(3, _FACTORS, 3, -1).astype(np.float32)) * 2.0**-_FRACTION
    size = 2 * _RADIUS + 1
    kernels = torch.zeros(3, _FACTORS, 3, size, size)
    kernels[..., _RADIUS, _RADIUS] = terms[..., 0] - terms[..., 1:].sum(-1)
    for (row, column), weight in zip(_PAIRS, terms[..., 1:].unbind(-1), strict=True):
        for side in (1, -1):
            kernels[..., _RADIUS + side * row, _RADIUS + side * column] = weight / 2
    # From colours to planes and back: part of the kernels
    kernels = torch.einsum("po,pfqyx,qi->foiyx", _PLANES, kernels, _PLANES).flatten(0, 1).contiguous()
    padded = _padded(decoded)
    height, width = decoded.shape[-2:]
    rows, strips = max(1, _STRIP // width), []
    for top in range(0, height, rows):
        seen = padded[:, :, top : top + rows + 2 * _RADIUS]
        filtered = F.conv2d(seen, kernels).unflatten(1, (_FACTORS, 3))
        strip = decoded[:, :, top : top + rows] + filtered[:, 0]
        brightness = torch.einsum("i,ihw->hw", _PLANES[0], seen[0])
        for number, factor in enumerate(_factors(brightness), 1):
            strip = torch.addcmul(strip, filtered[:, number], factor)
        strips.append(strip)
    return torch.cat(strips, 2)


def fit(
    decoded: Tensor, image: Tensor, weight: float, known: Coefficients | None = None
) -> Coefficients | None:
    """Return the filter that is worth its bits; None if there is none.

    Args:
        decoded: the decoded picture, values in [0, 1]; image: the original; both ``(1, 3, H, W)``.
        weight: bits per unit of squared error.
        known: a filter to be considered too.
    """
    solution = _greedy(*_statistics(decoded, image), _BITS_EACH / weight)
    steps = np.rint(solution.T.reshape(-1) * 2**_FRACTION).astype(np.int64)

    def cost(coefficients: Coefficients | None) -> float:
        if coefficients is None:
            return weight * float((decoded - image).square().sum())
        return 8 * len(pack(coefficients)) + weight * float(
            (apply(decoded, coefficients) - image).square().sum()
        )

    return min((None, steps.clip(-_LARGEST, _LARGEST), known), key=cost)


def pack(coefficients: Coefficients) -> bytes:
    """Return a filter as coded bytes."""
    encoder = Encoder()
    encoder.code_flags(coefficients != 0)
    for value in coefficients[coefficients != 0].tolist():
        _code_even(encoder, [value < 0])
        rest, bits = abs(value) - 1, _PLAIN_BITS
        while rest >= 2**bits:  # exponential Golomb code
            _code_even(encoder, [True])
            rest -= 2**bits
            bits += 1
        _code_even(encoder, [False, *(bool(rest >> k & 1) for k in range(bits))])
    return encoder.finish()


def unpack(data: bytes) -> Coefficients:
    """Invert :func:`pack`.

    Raises:
        CorruptStreamError: the bytes are no filter.
    """
    decoder = Decoder(data)
    coefficients = np.zeros(SIZE, np.int64)
    for place in np.flatnonzero(decoder.code_flags(SIZE)):
        (negative,) = _code_even(decoder, count=1)
        base, bits = 1, _PLAIN_BITS
        while _code_even(decoder, count=1)[0]:
            base += 2**bits
            bits += 1
            if bits > _PLAIN_BITS + _MOST_DOUBLINGS:
                raise CorruptStreamError("the coded filter is damaged (a coefficient is out of range)")
        base += sum(int(bit) << k for k, bit in enumerate(_code_even(decoder, count=bits)))
        coefficients[place] = -base if negative else base
    decoder.finish()
    return coefficients


def _statistics(decoded: Tensor, image: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return products of the terms with each other ``(T, T)``, and with the error of each plane ``(T, 3)``.

    Sums over the picture, from every third row.
    """
    planes = torch.einsum("pi,ihw->phw", _PLANES, _padded(decoded)[0])
    error = torch.einsum("pi,ihw->phw", _PLANES, (image - decoded)[0])
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
        gram += (terms @ terms.T).numpy()
        moments += (terms @ error[:, rows].flatten(1).T).numpy()
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


def _code_even(
    coder: Encoder | Decoder, bits: list[bool] | None = None, count: int = 0
) -> NDArray[np.bool_]:
    wanted = None if bits is None else np.array(bits)
    size = count if wanted is None else len(wanted)
    return coder.code_bits(np.full(size, BIT_TOTAL // 2), wanted)


def _padded(picture: Tensor) -> Tensor:
    return F.pad(picture - 0.5, (_RADIUS,) * 4, mode="replicate")


def _factors(brightness: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what terms are multiplied with, ``(H, W)`` each, from the padded plane of brightness."""
    r = _RADIUS
    height, width = brightness.shape

    def shifted(row: int, column: int) -> Tensor:
        return brightness[r + row : height - r + row, r + column : width - r + column]

    centre, up, down, left, right = (shifted(y, x) for y, x in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)))
    gradient = ((right - left).abs() + (down - up).abs()).clamp(max=1)
    outstanding = (5 * (centre - (up + down + left + right) / 4)).clamp(-1, 1)
    return gradient, outstanding, centre
