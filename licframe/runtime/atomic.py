"""Files are read and written whole, or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import IO

from licframe.errors import ImageError


def read_file(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ImageError: it does not exist or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error


def bytes_of(source: str | os.PathLike[str] | bytes | IO[bytes]) -> bytes:
    """Return the bytes of a file: named by its path, given as bytes, or read from a stream.

    Raises:
        ImageError: it does not exist or cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return read_file(Path(source))
    return source.read()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, making its folder where needed.

    Raises:
        ImageError: the folder is not writable.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:  # an interrupt, too, leaves nothing behind
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror}") from error
