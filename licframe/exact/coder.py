"""Range coding of residuals with integer tables, over ``constriction``.

A step's elements are grouped by table, in the order of the tables and, within one, in raster order;
one coder call serves a group. Residuals beyond a table's half-width use its escape symbol and
follow their group as a sign, a bit length and the bits below the leading one. Elements with
table -1 are not coded.

``constriction`` is pinned to one minor line, since any change of its arithmetic would change files.
All of its errors, panics included, become CorruptStreamError here.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import constriction
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from licframe.errors import CorruptStreamError, LimitError
from licframe.exact.tables import TableBank

_ESCAPE_BITS = 22
LARGEST_RESIDUAL = 2**_ESCAPE_BITS - 1
"""Largest absolute residual that can be coded."""

BIT_TOTAL = 2**16
"""Probabilities of decisions are counted out of this."""

_LOOKAHEAD = 16
"""More bytes than the range coder looks at."""

_Bernoulli = constriction.stream.model.Bernoulli(perfect=False)
_Uniform = constriction.stream.model.Uniform


def _model(bank: TableBank, table: int) -> Any:
    model = bank.models.get(table)
    if model is None:
        counts = bank.counts[table].astype(np.float64)
        model = constriction.stream.model.Categorical(counts, perfect=False)
        bank.models[table] = model
    return model


class _Groups:
    """The coded elements of a step in coding order: by table, in raster order within one.

    Attributes:
        positions: of the elements; tables: that occur, ascending; counts: of the elements of each.
    """

    def __init__(self, index: NDArray[Any]) -> None:
        # numpy sorts 16-bit integers by radix, in linear time; 0 stands for what is not coded
        small = (index + 1).astype(np.uint16)
        counts = np.bincount(small, minlength=1)
        self.positions = np.argsort(small, kind="stable")[counts[0] :]
        self.tables = np.flatnonzero(counts[1:])
        self.counts = counts[1:][self.tables]

    def spread(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return for each element the value of its table."""
        return np.repeat(values[self.tables], self.counts)

    def runs(self, halves: NDArray[np.int64]) -> Iterator[tuple[int, int, int, int]]:
        """Yield table, its half-width, start and end of its elements."""
        ends = self.counts.cumsum()
        columns = (self.tables, halves[self.tables], ends - self.counts, ends)
        return zip(*(column.tolist() for column in columns), strict=True)


def _share(count: int, size: int) -> NDArray[np.int64]:
    """Return the probability of a flag, out of BIT_TOTAL, for each of ``size`` channels."""
    return np.full(size, count * BIT_TOTAL // size)


class _Coder:
    """What encoder and decoder share: grouping, and a digest of the residuals.

    Attributes:
        bits: information content of what was coded so far, under the coder's own probabilities.
    """

    def __init__(self) -> None:
        self.digest = 0
        self.bits = 0.0

    def note(self, residual: Tensor) -> None:
        """Add a step's residuals to the digest."""
        values = residual.numpy().astype("<i4")
        self.digest = zlib.crc32(values.tobytes(), self.digest)

    def _count(self, probability: NDArray[np.int64], bits: NDArray[np.bool_]) -> None:
        taken = np.where(bits, probability, BIT_TOTAL - probability)
        self.bits -= float(np.log2(taken / BIT_TOTAL).sum())


class Encoder(_Coder):
    """Collect residuals of successive steps; ``finish`` gives the bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._coder = constriction.stream.queue.RangeEncoder()

    def code(self, bank: TableBank, index: Tensor, symbols: Tensor | None) -> Tensor:
        """Encode residuals; return them with zeros where nothing is coded (see SymbolCoder)."""
        assert symbols is not None
        wanted = symbols.numpy().ravel()
        if wanted.size and not np.abs(wanted).max() <= LARGEST_RESIDUAL:
            raise LimitError(
                f"a latent value is {np.abs(wanted).max():.3g} quantisation steps from its prediction; "
                f"at most {LARGEST_RESIDUAL} can be coded; use a lower quality or other weights"
            )
        groups = _Groups(index.numpy().ravel())
        values = wanted[groups.positions].astype(np.int32)
        half = groups.spread(bank.halves)
        escaped = np.abs(values) > half
        shown = (np.where(escaped, half + 1, values) + half).astype(np.int32)
        beyond = bool(escaped.any())
        for table, width, start, end in groups.runs(bank.halves):
            self._coder.encode(shown[start:end], _model(bank, table))
            if beyond:
                for k in np.flatnonzero(escaped[start:end]).tolist():
                    self._escape(int(values[start + k]), width)
        self.bits += float(bank.information(groups.spread(bank.starts), shown).sum())
        residual = np.zeros(wanted.size)
        residual[groups.positions] = values
        return torch.from_numpy(residual).reshape(index.shape)

    def code_bits(
        self, probability: NDArray[np.int64], bits: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """Encode decisions (see SymbolCoder)."""
        assert bits is not None
        self._coder.encode(bits.astype(np.int32), _Bernoulli, probability / BIT_TOTAL)
        self._count(probability, bits)
        return bits

    def code_flags(self, flags: NDArray[np.bool_]) -> None:
        """Encode a flag for each channel: how many are set, then each with that probability."""
        count = int(flags.sum())
        self._coder.encode(count, _Uniform(len(flags) + 1))
        self.bits += math.log2(len(flags) + 1)
        if 0 < count < len(flags):
            self.code_bits(_share(count, len(flags)), flags)

    def _escape(self, value: int, half: int) -> None:
        beyond = abs(value) - half
        length = beyond.bit_length()
        self._coder.encode(int(value < 0), _Uniform(2))
        self._coder.encode(length - 1, _Uniform(32))
        self.bits += 6 + length - 1
        if length > 1:
            self._coder.encode(beyond - 2 ** (length - 1), _Uniform(2 ** (length - 1)))

    def finish(self) -> bytes:
        """Return the coded bytes, little-endian 32-bit words."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype("<u4").tobytes()


class Decoder(_Coder):
    """Read residuals of successive steps.

    Raises:
        CorruptStreamError: the bytes do not belong to the tables.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__()
        if len(data) % 4:
            raise CorruptStreamError(
                f"the coded stream holds {len(data)} bytes, not a multiple of 4; the file is damaged"
            )
        self._coder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(data, dtype="<u4").astype(np.uint32)
        )
        self._most_bits = 8.1 * len(data) + 128  # tables are rounded to the coder's 24 bits

    def code(self, bank: TableBank, index: Tensor, symbols: Tensor | None = None) -> Tensor:
        """Decode one residual per element (see SymbolCoder)."""
        groups = _Groups(index.numpy().ravel())
        shown = np.empty(len(groups.positions), np.int32)
        escapes: list[tuple[int, int]] = []
        for table, half, start, end in groups.runs(bank.halves):
            shown[start:end] = found = self._decode(_model(bank, table), end - start)
            if found[found.argmax()] > 2 * half:  # a third of the time of found.max()
                escapes += [
                    (start + k, self._escape(half)) for k in np.flatnonzero(found > 2 * half).tolist()
                ]
        self.bits += float(bank.information(groups.spread(bank.starts), shown).sum())
        self._check_length()
        values = shown - groups.spread(bank.halves)
        for position, value in escapes:
            values[position] = value
        residual = np.zeros(index.numel())
        residual[groups.positions] = values
        return torch.from_numpy(residual).reshape(index.shape)

    def code_bits(
        self, probability: NDArray[np.int64], bits: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """Decode decisions (see SymbolCoder)."""
        bits = self._decode(_Bernoulli, probability / BIT_TOTAL) != 0
        self._count(probability, bits)
        self._check_length()
        return bits

    def code_flags(self, size: int) -> NDArray[np.bool_]:
        """Decode the flags of ``size`` channels."""
        count = int(self._decode(_Uniform(size + 1), 1)[0])
        if 0 < count < size:
            return self.code_bits(_share(count, size))
        return np.full(size, count > 0)

    def _check_length(self) -> None:
        # The coder reads zeros past the end; what it then decodes would take time and mean nothing.
        if self.bits > self._most_bits:
            raise CorruptStreamError("the coded stream ends before its last symbol; it is damaged")

    def _decode(self, model: Any, count: Any) -> NDArray[np.int32]:
        try:
            symbols: NDArray[np.int32] = self._coder.decode(model, count)
        except (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
            raise
        except BaseException as error:  # a panic in constriction is no Exception
            raise CorruptStreamError(f"the coded stream is damaged ({error})") from error
        return symbols

    def _escape(self, half: int) -> int:
        negative = self._decode(_Uniform(2), 1)[0]
        length = int(self._decode(_Uniform(32), 1)[0]) + 1
        if length > _ESCAPE_BITS:
            raise CorruptStreamError("the coded stream is damaged (a residual is out of range)")
        beyond = 2 ** (length - 1)
        if length > 1:
            beyond += int(self._decode(_Uniform(2 ** (length - 1)), 1)[0])
        return -(half + beyond) if negative else half + beyond

    def finish(self) -> None:
        """Check that nothing is left over."""
        if not self._coder.maybe_exhausted():
            raise CorruptStreamError("the coded stream goes on after the last symbol; it is damaged")


class EndOfPrefixError(Exception):
    """The beginning of a coded stream does not say what comes next."""


class PrefixDecoder:
    """Read residuals from the beginning of a coded stream, as far as it proves them.

    Whatever bytes may follow, what they decode to lies between what zeros and what ones decode to. Where the two agree, it
    is certain; the first disagreement ends it.

    Raises:
        EndOfPrefixError: what is asked for depends on bytes that are not there.
    """

    def __init__(self, data: bytes) -> None:
        words = data[: len(data) // 4 * 4]
        self._decoders = Decoder(words), Decoder(words + b"\xff" * _LOOKAHEAD)

    def code(self, bank: TableBank, index: Tensor, symbols: Tensor | None = None) -> Tensor:
        """Decode one residual per element (see SymbolCoder)."""
        return self._agreed(lambda decoder: decoder.code(bank, index), torch.equal)

    def code_bits(
        self, probability: NDArray[np.int64], bits: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """Decode decisions (see SymbolCoder)."""
        return self._agreed(lambda decoder: decoder.code_bits(probability), np.array_equal)

    def code_flags(self, size: int) -> NDArray[np.bool_]:
        """Decode the flags of ``size`` channels."""
        return self._agreed(lambda decoder: decoder.code_flags(size), np.array_equal)

    def note(self, residual: Tensor) -> None:
        """Do nothing: a digest is of a whole stream."""

    def _agreed(self, read: Callable[[Decoder], Any], equal: Callable[[Any, Any], bool]) -> Any:
        try:
            low, high = map(read, self._decoders)
        except CorruptStreamError as error:
            # Zeros or ones may be what no encoder writes.
            raise EndOfPrefixError from error
        if not equal(low, high):
            raise EndOfPrefixError
        return low
