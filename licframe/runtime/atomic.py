"""Files are read and written whole, or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

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
