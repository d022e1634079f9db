"""Large pictures that lie in a file sample by sample: the system brings in what is looked at."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEAD = re.compile(rb"P([56])\s+(\d{1,9})\s+(\d{1,9})\s+255\s")
"""Of a PPM or PGM file of 8 bits, without comments."""
_NUMPY = b"\x93NUMPY"
_LARGE = 2**24
"""Pixels of a picture that is worth it: one that is read whole may change on disk meanwhile."""


def samples_of(source: Path | bytes) -> NDArray[Any] | None:
    """Return the samples of a large .ppm, .pgm or .npy file without reading them; None of any other file.

    The file must not change while they are used. The bytes of a .npy file will do.
    """
    if not isinstance(source, Path):
        is_array = source[: len(_NUMPY)] == _NUMPY
        return np.load(io.BytesIO(source), allow_pickle=False) if is_array else None
    return _mapped(source)


def _mapped(path: Path) -> NDArray[Any] | None:
    if not path.is_file():  # what a pipe gives can be read once only
        return None
    with path.open("rb") as file:
        head = file.read(64)
        if head.startswith(_NUMPY):
            return np.load(path, mmap_mode="r", allow_pickle=False)
        found = _HEAD.match(head)
        if found is None:
            return None
        width, height = int(found[2]), int(found[3])
        shape = (height, width, 3) if found[1] == b"6" else (height, width)
        fits = path.stat().st_size >= found.end() + int(np.prod(shape))
        if not fits or width * height <= _LARGE:
            return None
        return np.memmap(path, np.uint8, "r", offset=found.end(), shape=shape)
