"""Mixtures of several densities per element, coded exactly.

GLLMM (arXiv 2107.06463) has three Gaussian, three Laplace and three logistic components::

    P(y) = sum_k w_k [F_k(y + 1/2 - mu_k) - F_k(y - 1/2 - mu_k)],   w = softmax of the predicted logits

On the coding path everything is integer. Weights come from a table of powers of two; cumulative values
from banks sampled at 1/64 of a step for small scales and at 1/56 of the scale or finer for large ones.
A residual is coded as decisions, each with a probability made of such values: zero or not; sign; then
its magnitude by doubling intervals and bisection. All elements of a step go through each decision
together, so a symbol costs a few array operations and no table of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from licframe.parts import (
    BIT_TOTAL,
    CENTRE_FRACTION,
    FRACTION,
    LARGEST_RESIDUAL,
    CorruptStreamError,
    EntropyModel,
    LimitError,
    SymbolCoder,
    WeightsMismatchError,
    read_arrays,
)

from .families import FAMILIES
from .plugin import MixtureOptions
from .scales import SCALES, STEPS_PER_OCTAVE, scale_at, scale_index, scale_of

_FLOOR = 1e-9
_HALF = 2 ** (CENTRE_FRACTION - 1)
_TAIL_BITS = 16
_WEIGHT_BITS = 12
_TOTAL = 2 ** (_TAIL_BITS + _WEIGHT_BITS)
_LOGIT_STEPS = 256
_LOGIT_RANGE = 12
_SKIPPED = _TOTAL - 2**_WEIGHT_BITS // 2
"""Where zero has more than this of the mass, an element is not coded: probability 8e-6, as in the tables."""
_CHUNK = 8192
"""Elements that are coded together: few enough for their arrays to stay in a core's cache. Part of the format."""
_FAMILY_ORDER = tuple(FAMILIES)


class _Bank:
    """Upper tails of every family and scale, and powers of two, as integers from a file with a digest."""

    def __init__(self, package: str, name: str) -> None:
        arrays = read_arrays(package, name)
        right, powers = arrays["tails"], arrays["powers"]
        if bank_digest(right, powers) != str(arrays["digest"]):
            raise WeightsMismatchError(
                f"cumulative tables {name} of {package} are damaged; reinstall {package}"
            )
        # Densities are symmetric: bins left of zero mirror those right of it.
        self.reach = right.shape[1]
        tails = right.astype(np.int32)
        self.below: NDArray[np.int32] = np.concatenate([tails[:, ::-1], 2**_TAIL_BITS - tails], 1).ravel()
        self.powers = torch.from_numpy(powers.astype(np.float64))


_bank: list[_Bank] = []


def _shift(index: NDArray[Any]) -> NDArray[Any]:
    """Return by how many bits distances are shortened at a rung of the ladder."""
    return np.maximum(index // STEPS_PER_OCTAVE - 3, 0)


class Mixture(EntropyModel):
    """A mixture with its own centres, scales and weights for each element.

    The value that is subtracted before rounding is the mixture's mean.
    """

    def __init__(self, options: MixtureOptions) -> None:
        super().__init__()
        self.families = tuple("student-t" if family == "student" else family for family in options.families)
        count = len(self.families)
        self.kinds = ("centre",) * count + ("log2_scale",) * count + ("weight",) * count
        if not _bank:
            _bank.append(_Bank("licframe_plugins.entropy_models", "mixture.npz"))

    @property
    def initial_bias(self) -> tuple[float, ...]:
        """Scales of one family's components begin an octave apart, the middle one with most of the weight."""
        count = len(self.families)
        seen = [self.families[:k].count(family) for k, family in enumerate(self.families)]
        same = [self.families.count(family) for family in self.families]
        spread = [k - (n - 1) / 2 for k, n in zip(seen, same, strict=True)]
        return (*(0.0,) * count, *spread, *(-2.0 * abs(s) for s in spread))

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count = len(self.families)
        return parameters[:, :count], parameters[:, count : 2 * count], parameters[:, 2 * count :]

    # -- float form ---------------------------------------------------------------------------

    def centre(self, parameters: Tensor) -> Tensor:
        centres, _, logits = self._split(parameters)
        weights = torch.softmax(logits * np.log(2.0), 1)
        return (weights * centres).sum(1)

    def bits(self, residual: Tensor, parameters: Tensor) -> Tensor:
        centres, log2_scales, logits = self._split(parameters)
        weights = torch.softmax(logits * np.log(2.0), 1)
        offsets = centres - (weights * centres).sum(1, keepdim=True)
        scales = scale_of(log2_scales)
        distance = (residual[:, None] - offsets).abs()
        mass = torch.zeros_like(residual)
        for k, family in enumerate(self.families):
            tail = FAMILIES[family].tail
            inside = tail((distance[:, k] - 0.5) / scales[:, k]) - tail(
                (distance[:, k] + 0.5) / scales[:, k]
            )
            mass = mass + weights[:, k] * inside
        return -mass.clamp_min(_FLOOR).log2()

    # -- exact form ---------------------------------------------------------------------------

    def exact_centre(self, parameters: Tensor) -> Tensor:
        centres, _, logits = self._split(parameters)
        limit = 2.0**30
        mean = (self._weights(logits) * centres.clamp(-limit, limit)).sum(1)
        shift = FRACTION + _WEIGHT_BITS - CENTRE_FRACTION
        return ((mean + 2.0 ** (shift - 1)) / 2.0**shift).floor_()

    def _weights(self, logits: Tensor) -> Tensor:
        """Return integer weights that sum to 2^12, float64, from integer logits ``(N, K, ...)``."""
        place = logits.amax(1, keepdim=True) - logits
        place.mul_(2.0 ** (8 - FRACTION)).floor_().clamp_(max=_LOGIT_RANGE * _LOGIT_STEPS - 1)
        powers = _bank[0].powers[place.int()]
        # A quotient of integers in float64 is rounded the same way on every machine.
        weights = (powers * (2.0**_WEIGHT_BITS / powers.sum(1, keepdim=True))).floor_()
        # What the floor left over goes to the first component.
        weights[:, 0] += 2.0**_WEIGHT_BITS - weights.sum(1)
        return weights

    def code(self, coder: SymbolCoder, parameters: Tensor, symbols: Tensor | None) -> Tensor:
        centres, log2_scales, logits = self._split(parameters)
        shape = centres[:, 0].shape
        centre = self.exact_centre(parameters)
        shift = FRACTION - CENTRE_FRACTION
        offsets = ((centres + 2.0 ** (shift - 1)) / 2.0**shift).floor_() - centre[:, None]
        columns = (
            _columns(offsets.clamp_(-(2.0**24), 2.0**24)),
            _columns(scale_index(log2_scales)),
            _columns(self._weights(logits)),
        )
        residual = np.zeros(shape.numel(), dtype=np.int64)
        wanted = None if symbols is None else symbols.numpy().ravel()
        for begin in range(0, len(residual), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            density = _Density(self.families, *(column[:, part] for column in columns))
            asked = None if wanted is None else wanted[part].astype(np.int64)
            residual[part] = _Decisions(coder, density, asked).run()
        return torch.from_numpy(residual.astype(np.float64)).reshape(shape)


def _columns(values: Tensor) -> NDArray[np.int64]:
    """Return ``(K, elements)`` of ``(N, K, ...)``."""
    return values.transpose(0, 1).flatten(1).numpy().astype(np.int64)


class _Density:
    """Integer mixtures of a step's elements; cumulative values out of 2^28."""

    def __init__(
        self,
        families: Sequence[str],
        offsets: NDArray[np.int64],
        index: NDArray[np.int64],
        weights: NDArray[np.int64],
    ) -> None:
        bank = _bank[0]
        rows = np.array([_FAMILY_ORDER.index(family) for family in families])[:, None] * SCALES + index
        # 32 bits hold everything: masses of 2^16 times weights of 2^12
        self.offsets, self.weights = offsets.astype(np.int32), weights.astype(np.int32)
        self.shifts = _shift(index).astype(np.int32)
        self.middles = (rows * (2 * bank.reach) + bank.reach).astype(np.int32)
        self._bank = bank

    def __len__(self) -> int:
        return self.offsets.shape[1]

    def take(self, which: NDArray[Any]) -> _Density:
        """Return the densities of some elements."""
        part = object.__new__(_Density)
        part._bank = self._bank
        for name in ("offsets", "weights", "shifts", "middles"):
            setattr(part, name, getattr(self, name)[:, which])
        return part

    def below(self, edge: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the mass below edges, given in 1/64 of a step about the centre."""
        place = edge.astype(np.int32) - self.offsets
        place >>= self.shifts
        reach = self._bank.reach
        np.clip(place, -reach, reach - 1, out=place)
        place += self.middles
        return np.einsum("ke,ke->e", self.weights, self._bank.below.take(place)).astype(np.int64)


class _Decisions:
    """Code residuals as yes-or-no decisions, for all elements together."""

    def __init__(self, coder: SymbolCoder, density: _Density, wanted: NDArray[np.int64] | None) -> None:
        self.coder, self.density, self.wanted = coder, density, wanted

    def run(self) -> NDArray[np.int64]:
        count = len(self.density)
        if self.wanted is not None and np.abs(self.wanted).max(initial=0) > LARGEST_RESIDUAL:
            raise LimitError(
                f"a latent value is {np.abs(self.wanted).max()} quantisation steps from its prediction; at most "
                f"{LARGEST_RESIDUAL} can be coded; use a lower quality or other weights"
            )
        residual = np.zeros(count, dtype=np.int64)
        edge = np.full(count, _HALF)
        left, right = self.density.below(-edge), _TOTAL - self.density.below(edge)
        coded = np.flatnonzero(_TOTAL - left - right <= _SKIPPED)
        left, right = left[coded], right[coded]
        nonzero = self._ask(left + right, np.full(len(coded), _TOTAL), coded, lambda r: r != 0)
        which, left, right = coded[nonzero], left[nonzero], right[nonzero]
        negative = self._ask(left, left + right, which, lambda r: r < 0)
        sign = np.where(negative, -1, 1)
        residual[which] = sign * self._magnitudes(which, sign)
        return residual

    def _magnitudes(self, which: NDArray[Any], sign: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return magnitudes of at least 1: the interval [2^n, 2^(n+1)) first, then by bisection."""
        density = self.density.take(which)
        low = np.ones(len(which), dtype=np.int64)
        going = np.arange(len(which))
        while len(going):
            if low[going[0]] > LARGEST_RESIDUAL:
                raise CorruptStreamError("the coded stream is damaged (a residual is out of range)")
            part, way, bottom = density.take(going), sign[going], low[going]
            beyond = self._beyond(part, way, 2 * bottom)
            bounds = 2 * bottom
            further = self._ask(
                beyond, self._beyond(part, way, bottom), which[going], lambda r, b=bounds: np.abs(r) >= b
            )
            going = going[further]
            low[going] *= 2
        width = low.copy()
        while (wide := np.flatnonzero(width > 1)).size:
            width[wide] //= 2
            part, way, bottom = density.take(wide), sign[wide], low[wide]
            middle = bottom + width[wide]
            above = self._beyond(part, way, middle) - self._beyond(part, way, middle + width[wide])
            whole = self._beyond(part, way, bottom) - self._beyond(part, way, middle + width[wide])
            upper = self._ask(above, whole, which[wide], lambda r, m=middle: np.abs(r) >= m)
            low[wide[upper]] += width[wide[upper]]
        return low

    @staticmethod
    def _beyond(
        density: _Density, sign: NDArray[np.int64], magnitude: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the mass of residuals of a sign and at least a magnitude."""
        below = density.below(sign * (magnitude * (2 * _HALF) - _HALF))
        return np.where(sign > 0, _TOTAL - below, below)

    def _ask(
        self, share: NDArray[np.int64], whole: NDArray[np.int64], which: NDArray[Any], question: Any
    ) -> NDArray[np.bool_]:
        """Code one decision of some elements; its probability is share / whole."""
        # Where no mass is left the decision is even.
        empty = whole <= 0
        share, whole = np.where(empty, 1, np.clip(share, 0, whole)), np.where(empty, 2, whole)
        probability = share * (BIT_TOTAL - 2) // whole + 1
        bits = None if self.wanted is None else question(self.wanted[which])
        return self.coder.code_bits(probability, bits)


def make_bank() -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Return tails ``(families * 97, width)`` and powers of two; how ``mixture.npz`` was made."""
    rows = []
    for family in _FAMILY_ORDER:
        for index in range(SCALES):
            scale = scale_at(index) * 2**CENTRE_FRACTION
            shift = int(_shift(np.array(index)))
            # Bin k holds distances [k, k + 1) * 2^shift and stands for their middle.
            middle = 2.0**shift / 2
            reach = int(FAMILIES[family].reach * scale / 2**shift) + 2
            points = [FAMILIES[family].exact_tail(((k << shift) + middle) / scale) for k in range(reach)]
            rows.append([round(p * 2**_TAIL_BITS) for p in points])
    width = max(map(len, rows))
    tails = np.zeros((len(rows), width), dtype=np.uint16)
    for row, values in zip(tails, rows, strict=True):
        row[: len(values)] = values
    powers = [round(2.0**24 * 2.0 ** (-k / _LOGIT_STEPS)) for k in range(_LOGIT_RANGE * _LOGIT_STEPS)]
    return tails, np.array(powers, dtype=np.uint32)


def bank_digest(tails: NDArray[Any], powers: NDArray[Any]) -> str:
    """Return the SHA-256 of a bank's content, hex."""
    return hashlib.sha256(tails.astype("<u2").tobytes() + powers.astype("<u4").tobytes()).hexdigest()
