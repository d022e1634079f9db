"""Banks of integer frequency tables: data, not something a machine computes.

A table covers the residuals ``-half .. half`` and one escape symbol for everything beyond. Its
counts are positive integers that sum to 2^TOTAL_BITS. A bank is a file with a SHA-256 that is
checked when it is loaded.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from licframe.errors import WeightsMismatchError

TOTAL_BITS = 20

PRECISION = 24
"""Bits of a probability inside the range coder."""


def integer_counts(probabilities: Sequence[float], total: int = 2**TOTAL_BITS) -> NDArray[np.int64]:
    """Return positive integers proportional to ``probabilities`` that sum to ``total`` exactly.

    Every symbol gets one; the rest is shared by largest remainder, ties to the first.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    share = p / p.sum() * (total - len(p))
    counts = np.floor(share).astype(np.int64)
    left = total - len(p) - int(counts.sum())
    counts[np.argsort(counts - share, kind="stable")[:left]] += 1
    return counts + 1


def coded_counts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the probabilities, times 2^24, that the range coder makes of a table's counts."""
    size = len(counts)
    scale = (2**PRECISION - size) / float(counts.sum())
    left = (np.concatenate([[0], np.cumsum(counts)[:-1]]) * scale).astype(np.int64)
    return np.diff(left + np.arange(size), append=2**PRECISION)


def read_arrays(package: str, name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file that a package ships as ``name``.

    Raises:
        WeightsMismatchError: it is missing or malformed.
    """
    try:
        data = importlib.resources.files(package).joinpath(name).read_bytes()
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsMismatchError(
            f"cannot read tables {name} of package {package}: {error}; reinstall {package}"
        ) from error


class TableBank:
    """Frequency tables that a step's elements choose from by index.

    Attributes:
        halves: largest absolute residual of each table, ``(T,)`` int64.
        counts: for each table, counts of ``-half .. half`` and of the escape, int64.
        starts: where each table's symbols begin when all are laid end to end.
        digest: SHA-256 of the content, hex.
        models: the range coder's models, made by it on first use.
    """

    def __init__(self, halves: NDArray[np.int64], counts: Sequence[NDArray[np.int64]]) -> None:
        self.halves = halves
        self.counts = list(counts)
        digest = hashlib.sha256()
        for half, row in zip(halves, counts, strict=True):
            if len(row) != 2 * half + 2 or row.min() < 1 or row.sum() != 2**TOTAL_BITS:
                raise WeightsMismatchError(
                    f"a frequency table of half-width {half} holds {len(row)} counts that sum to "
                    f"{row.sum()}; expected {2 * half + 2} positive counts that sum to 2^{TOTAL_BITS}"
                )
            digest.update(np.int64(half).tobytes() + row.astype("<i8").tobytes())
        self.digest = digest.hexdigest()
        self.models: dict[int, Any] = {}
        self._information: NDArray[np.float64] | None = None
        self.starts = np.cumsum(2 * halves + 2) - (2 * halves + 2)

    def __len__(self) -> int:
        return len(self.halves)

    def information(self, starts: NDArray[Any], symbols: NDArray[Any]) -> NDArray[np.float64]:
        """Return the bits that symbols cost, of tables that start at ``starts``.

        Symbol 0 is residual ``-half``, the escape comes last.
        """
        if self._information is None:
            self._information = PRECISION - np.log2(
                np.concatenate([coded_counts(row) for row in self.counts])
            )
        return self._information[starts + symbols]

    @classmethod
    def from_probabilities(cls, tables: Sequence[tuple[int, Sequence[float]]]) -> TableBank:
        """Make a bank from half-widths and probabilities (see ``integer_counts``)."""
        halves = np.array([half for half, _ in tables], dtype=np.int64)
        return cls(halves, [integer_counts(p) for _, p in tables])

    @classmethod
    def load(cls, package: str, name: str) -> TableBank:
        """Load a bank that a package ships as ``name``.

        Raises:
            WeightsMismatchError: the file is missing, malformed or does not match its digest.
        """
        where = f"{name} of package {package}"
        arrays = read_arrays(package, name)
        try:
            halves, flat, digest = arrays["halves"], arrays["counts"], str(arrays["digest"])
            ends = np.cumsum(2 * halves + 2)
            bank = cls(halves.astype(np.int64), np.split(flat.astype(np.int64), ends[:-1]))
        except (KeyError, ValueError) as error:
            raise WeightsMismatchError(
                f"cannot read frequency tables {where}: {error}; reinstall {package}"
            ) from error
        if bank.digest != digest:
            raise WeightsMismatchError(
                f"frequency tables {where} have digest {bank.digest[:12]}, expected {digest[:12]}; "
                f"the installation is damaged: reinstall {package}"
            )
        return bank

    def save(self, path: str) -> None:
        """Write the bank as a file that ``load`` reads."""
        flat = np.concatenate(self.counts).astype(np.uint32)
        np.savez_compressed(path, halves=self.halves, counts=flat, digest=np.array(self.digest))
