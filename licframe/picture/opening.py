"""Other people's decoders under guard: our limits hold, each failure is an error of ours, each warning a note."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from licframe.errors import FileError, ImageError, LicframeError, LicframeWarning, LimitError
from licframe.runtime.limits import Limits

_reading = threading.RLock()
"""Pillow's limit, Python's warnings and standard error belong to the whole process: one reader at a time."""
_READERS = str(Path(Image.__file__).parent), str(Path(__file__).parent)
"""Where warnings come from of what a file holds: Pillow's code, and what calls numpy's."""


@contextmanager
def guarded(where: str, limits: Limits) -> Iterator[None]:
    """Read a picture in this block; whatever its bytes are, it ends well or with an error of ours.

    Raises:
        FileError: a file cannot be read. ImageError: it is no picture, or damaged. LimitError: it is too large.
    """
    with _reading, _noted(where), _pillow_limit(limits):
        try:
            yield
        except LicframeError:
            raise
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{where} is not a picture that Pillow can read; give a PNG, JPEG, TIFF, WebP, AVIF or PPM file"
            ) from error
        except (Image.DecompressionBombError, MemoryError) as error:
            raise _too_large(where, str(error), limits) from error
        except Exception as error:  # plugins of Pillow raise whatever their parsing came upon
            raise _unreadable(where, error) from error


def _too_large(where: str, said: str, limits: Limits) -> LimitError:
    found = re.search(r"\((\d+) pixels\)", said)
    if found is None:
        return LimitError(f"{where} takes more memory than there is")
    pixels, memory = int(found[1]), limits.memory_for(int(found[1]))
    raised = [f"--limit pixels={pixels}"] * (pixels > limits.pixels)
    raised += [f"--limit memory={memory}"] * (memory > limits.memory)
    return LimitError(
        f"{where} takes {pixels} pixels; at most {limits.most_pixels} are allowed; if you trust it, raise the limit with "
        f"{' '.join(raised)}"
    )


def _unreadable(where: str, error: Exception) -> LicframeError:
    if isinstance(error, FileNotFoundError):
        return FileError(f"there is no file {where}")
    if isinstance(error, OSError) and error.strerror:
        return FileError(f"cannot read {where}: {error.strerror}")
    reason = (str(error).strip().splitlines() or ["no reason given"])[0]
    if not isinstance(error, OSError | SyntaxError | ValueError):
        reason = f"{type(error).__name__}: {reason}"
    return ImageError(f"cannot read {where}: {reason}; is the file complete?")


@contextmanager
def pillow_unlimited() -> Iterator[None]:
    """Let Pillow open what was checked before, or just written, however large it is."""
    with _reading, _pillow_limit(None):
        yield


@contextmanager
def _pillow_limit(limits: Limits | None) -> Iterator[None]:
    """Let Pillow refuse what is larger than our limits by half before it allocates anything."""
    theirs = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None if limits is None else limits.most_pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = theirs


@contextmanager
def _noted(where: str) -> Iterator[None]:
    """Turn what others warn of into one note, once the picture is read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    ours = [w for w in caught if issubclass(w.category, LicframeWarning)]
    theirs = [w for w in caught if w not in ours and w.filename.startswith(_READERS)]
    for warning in caught:
        if warning not in ours and warning not in theirs:  # of another thread
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    said = [str(w.message).strip() for w in theirs if w.category is not Image.DecompressionBombWarning]
    texts = [str(w.message) for w in ours]
    if said:
        texts.append(f"{where} was read, but is not all right: {said[0]}")
    for text in dict.fromkeys(texts):
        warnings.warn(text, LicframeWarning, stacklevel=5)


@contextmanager
def quiet_libtiff(kind: str | None) -> Iterator[None]:
    """Keep what libtiff prints off the terminal while a TIFF file is decoded; its errors come as exceptions."""
    try:
        if kind != "TIFF":
            raise OSError
        sys.stderr.flush()
        terminal = os.dup(2)
    except (OSError, AttributeError, ValueError):  # there may be no standard error
        yield
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def note(text: str) -> None:
    """Say what the user should know of a picture that is accepted all the same."""
    warnings.warn(text, LicframeWarning, stacklevel=3)


def file_bytes(image: Image.Image, most: int = -1) -> bytes:
    """Return the first ``most`` bytes, or all, of the file that a Pillow image was opened from; none if it is gone."""
    for field in ("fp", "_fp"):  # the second stays when the pixels are loaded
        stream: Any = getattr(image, field, None)
        with suppress(OSError, ValueError, AttributeError):
            if not stream.closed:
                place = stream.tell()
                stream.seek(0)
                data = stream.read(most)
                stream.seek(place)
                return data
    name: Any = getattr(image, "filename", "")
    with suppress(OSError, ValueError):
        if name:
            with Path(os.fsdecode(name)).open("rb") as file:
                return file.read(most)
    return b""
