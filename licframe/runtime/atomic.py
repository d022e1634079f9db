"""Files are read and written whole, or not at all."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from licframe.errors import FileError

_KEPT_OF_NAME = 40
"""A name may be as long as the file system allows, and that of a partial file is longer."""


def read_file(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        FileError: it does not exist or cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise FileError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def bytes_of(source: str | os.PathLike[str] | bytes | IO[bytes]) -> bytes:
    """Return the bytes of a file: named by its path, given as bytes, or read from a stream.

    Raises:
        FileError: it does not exist or cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return read_file(Path(source))
    if not hasattr(source, "read"):
        raise FileError(
            f"cannot read {type(source).__name__}; give a path, bytes, or an open stream of bytes"
        )
    try:
        data = source.read()
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {source!r}: {error}; give an open stream of bytes") from error
    if not isinstance(data, bytes | bytearray):
        raise FileError(f'{source!r} gives {type(data).__name__}, not bytes; open it with mode "rb"')
    return bytes(data)


def files_in(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted.

    Raises:
        FileError: it does not exist, or cannot be listed.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise FileError(f"cannot list the folder {folder}: {error.strerror}") from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there yet.

    Raises:
        FileError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder {path}: {error.strerror or error}") from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give the path of a new file beside ``path``; once written, it is forced to the disk and takes the place of ``path``.

    Where writing fails or is interrupted, nothing is left of it, and ``path`` stays as it was. Its folder is made where needed.
    A link stays, and what it points to is written; a file that is replaced keeps its mode; what is no file, such as a
    pipe, is written into.

    Raises:
        FileError: the folder or the file is not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not (path.is_file() or path.is_dir()):
            with tempfile.TemporaryDirectory() as folder:
                partial = Path(folder, "whole")
                yield partial
                path.write_bytes(partial.read_bytes())
            return
        with _replaced(path.resolve()) as partial:
            yield partial
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError
        raise FileError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name[:_KEPT_OF_NAME]}.{os.getpid()}-{threading.get_ident()}.partial")
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    try:
        yield partial
        with partial.open(
            "rb+"
        ) as file:  # else a crash of the machine may leave an empty file under the name
            os.fsync(file.fileno())
        if path.is_file():
            shutil.copymode(path, partial)
        partial.replace(path)
    finally:  # an interrupt, too, leaves nothing behind
        partial.unlink(missing_ok=True)


def remove_partials(paths: Iterable[Path]) -> None:
    """Remove what writers of these files have left that were killed; nobody else may write them meanwhile."""
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(path.name[:_KEPT_OF_NAME])
    for folder, known in names.items():
        for partial in folder.glob(".*.partial"):
            name, _, writer = partial.name[1:].removesuffix(".partial").rpartition(".")
            if name in known and re.fullmatch(r"\d+-\d+", writer):
                with suppress(OSError):
                    partial.unlink()


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file whole or not at all; text as UTF-8 (see ``written_whole``)."""
    with written_whole(path) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)


def to_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, with null for numbers that JSON lacks: infinity, and what is no number."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON (see ``to_json``), whole or not at all."""
    write_atomically(path, to_json(value, indent=1) + "\n")
