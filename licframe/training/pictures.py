"""Pictures to train on: found in folders, tar shards and files; some held out; decoded once."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path, PurePosixPath

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.errors import FileError, ImageError
from licframe.runtime.atomic import files_in, read_file

SUFFIXES = frozenset({".avif", ".png", ".jpg", ".jpeg", ".webp", ".ppm", ".tif", ".tiff", ".bmp"})

HELD_OUT = 20
"""One picture in so many is never trained on."""

_LEAST = 8
"""Of so many pictures at least one is held out; fewer are all trained on."""

_UNREADABLE = (OSError, SyntaxError, Image.DecompressionBombError)
_AHEAD = 32
"""Pictures that are decoded before they are asked for."""

_NEARER = "__zoom"
"""Ends the name of a nearer view of another picture: both are held out, or neither."""


@attrs.frozen
class PictureFile:
    """A picture's file in memory. ``name`` says where it was: ``SHARD/MEMBER`` or a file name."""

    name: str
    data: bytes

    @property
    def held_out(self) -> bool:
        """Whether it is never trained on: by the hash of its name, so that it stays so whatever else is there."""
        return self.draw % HELD_OUT == 0

    @property
    def draw(self) -> int:
        """A number from the hash of its name."""
        stem = PurePosixPath(self.name).stem.removesuffix(_NEARER)
        return int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8], "big")

    def size(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        with self._open() as image:
            return image.height, image.width

    def decode(self) -> NDArray[np.uint8]:
        """Return the pixels ``(H, W, 3)``."""
        try:
            with self._open() as image:
                if image.mode.startswith(("I", "F")):  # Pillow would clip them
                    raise ImageError(
                        f"training image {self.name} has more than 8 bits a sample; convert it to 8, or remove it"
                    )
                return np.asarray(image.convert("RGB"))
        except _UNREADABLE as error:
            raise self._unreadable(error) from error

    def _open(self) -> Image.Image:
        try:
            return Image.open(io.BytesIO(self.data))
        except _UNREADABLE as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ImageError:
        return ImageError(f"cannot read training image {self.name}: {error}; remove it")


def find_pictures(paths: Sequence[Path]) -> list[PictureFile]:
    """Return every picture in folders, tar shards and files.

    Raises:
        FileError: a path does not exist or cannot be read, or there is no picture in any.
    """
    refuse_missing(paths)
    found = list(_inside(paths))
    if not found:
        raise FileError(f"no pictures in {', '.join(map(str, paths))}")
    return found


def refuse_missing(paths: Sequence[Path]) -> None:
    """Refuse paths of which one does not exist.

    Raises:
        FileError: naming it.
    """
    for path in paths:
        if not path.exists():
            raise FileError(f"no training data at {path}; give folders, .tar shards or pictures")


def _inside(paths: Sequence[Path]) -> Iterator[PictureFile]:
    for path in paths:
        if path.is_dir():
            yield from _inside([p for p in files_in(path) if p.suffix.lower() in SUFFIXES | {".tar"}])
        elif path.suffix.lower() == ".tar" and path.is_file():
            yield from _members(path)
        elif path.is_file():
            yield PictureFile(path.name, read_file(path))
        else:
            raise FileError(f"no training data at {path}; give folders, .tar shards or pictures")


def _members(path: Path) -> Iterator[PictureFile]:
    try:
        with tarfile.open(path) as shard:
            for member in shard:
                file = shard.extractfile(member)
                if file is not None and Path(member.name).suffix.lower() in SUFFIXES:
                    yield PictureFile(f"{path.name}/{member.name}", file.read())
    except (tarfile.TarError, EOFError, OSError) as error:
        raise FileError(f"cannot read shard {path}: {error}; get a new copy, or remove it") from error


def split(files: Sequence[PictureFile]) -> tuple[list[PictureFile], list[PictureFile]]:
    """Return the pictures to train on and those held out; few pictures are all trained on.

    Where the hash of no name holds a picture out, the one of the lowest hash is, with its nearer view.
    """
    if len(files) < _LEAST:
        return list(files), []
    drawn = {file.draw for file in files if file.held_out} or {min(file.draw for file in files)}
    kept = [file for file in files if file.draw not in drawn]
    return (kept, [file for file in files if file.draw in drawn]) if kept else (list(files), [])


def decode_all(files: Sequence[PictureFile]) -> Iterator[NDArray[np.uint8]]:
    """Yield the pixels of each picture in order, decoded by all cores, a few ahead."""
    with ProcessPoolExecutor() as pool:
        waiting: deque[Future[NDArray[np.uint8]]] = deque()
        for file in files:
            waiting.append(pool.submit(file.decode))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
