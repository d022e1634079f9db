"""Teaches Pillow the .lic format; importing this module is all it takes.

>>> import licframe.pillow
>>> from PIL import Image
>>> image = Image.open("photo.lic")  # size, mode and metadata; pixels when they are needed
>>> image.save("other.lic", quality=60, profile="fast")

``save`` takes ``profile`` (a name or a TOML file), ``quality``, ``bpp``, ``size``, ``psnr`` or ``ssimulacra2``, and
``icc_profile``, ``exif`` and ``xmp`` in place of those of the image; empty or None stores none. Pixels are turned by
the EXIF orientation that is given, or that of the file they come from; what is stored has none.

``thumbnail`` and ``draft`` leave out details where the picture gets smaller. With ``ImageFile.LOAD_TRUNCATED_IMAGES`` of Pillow a file that is
cut short shows what is there, and a prediction of the rest.

Samples of 16 bits become 8-bit ones where Pillow has no mode for them, as with its other formats; ``licframe.read``
gives them whole.
"""

from __future__ import annotations

import functools
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile, UnidentifiedImageError

from licframe.bitstream import container
from licframe.errors import LicframeError
from licframe.profile import DEFAULT_PROFILE
from licframe.runtime.atomic import bytes_of

if TYPE_CHECKING:
    from licframe.codec.interface import ImageCodec

FORMAT = "LIC"
MIME = "image/x-lic"
SUFFIX = ".lic"
_INFO = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
_decoding = threading.RLock()
"""Threads that share an image wait for its pixels."""
_REDUCED = 2
"""A picture that is wanted so many times smaller, or more, is decoded without details."""
_OPTIONS = ("quality", "bpp", "size", "psnr", "ssimulacra2")


def open(source: str | os.PathLike[str] | bytes | IO[bytes]) -> Image.Image:  # noqa: A001 - as in Pillow
    """Return a .lic file as a Pillow image: its size, mode and metadata at once, its pixels when they are needed.

    Args:
        source: a path, bytes, or a stream that is open for reading.

    Raises:
        FileError: it cannot be read; CorruptStreamError: it is no .lic file. All are OSErrors, too.
    """
    with _as_pillow_does():
        data = bytes_of(source)
    return LicImageFile(io.BytesIO(data))


@contextmanager
def _as_pillow_does(kind: type[OSError] = OSError) -> Iterator[None]:
    """Raise an error of ours as one that those who call Pillow expect, too."""
    try:
        yield
    except LicframeError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            kind = FileNotFoundError
        ours = type(error)
        raise type(ours.__name__, (ours, kind), {"__module__": ours.__module__})(str(error)) from error


@functools.lru_cache(maxsize=4)
def _codec(profile: str) -> ImageCodec:
    from licframe.codec.loading import load

    return load(profile)


class LicImageFile(ImageFile.ImageFile):
    """A .lic file that Pillow has opened; decoded when its pixels are asked for."""

    format = FORMAT
    format_description = "licframe learned image"

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        with _as_pillow_does(OSError if _accept(self._data) else UnidentifiedImageError):
            file = container.read(self._data, prefix=ImageFile.LOAD_TRUNCATED_IMAGES)
        header = file.header
        self._leave_out = 0 if ImageFile.LOAD_TRUNCATED_IMAGES and not header.codec else None
        self._size = header.width, header.height
        self._mode = "I;16" if header.depth == 16 and header.mode == "L" else header.mode
        self.info.update({_INFO[name]: value for name, value in file.metadata.items()})
        self.info.update(quality=header.quality, profile=header.profile)
        self._header = header

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> Any:
        """Leave out the details where a picture of half the size or less is wanted; its size and mode stay.

        Levels of the latent are kept: decoding would take as long without them, and thumbnails would show it.
        """
        if size is None or not self._data or not self._header.details:
            return None
        if any(side < _REDUCED * wanted for side, wanted in zip(self.size, size, strict=True)):
            return None
        self._leave_out = 1
        return self.mode, (0, 0, *self.size)

    def load(self) -> Any:
        with _decoding:
            if self._data:
                with _as_pillow_does():
                    self._decode()
        return Image.Image.load(self)

    def _decode(self) -> None:
        from licframe.codec.loading import load_for

        codec = load_for(self._header)
        if self._leave_out is None:
            picture = codec.decode(self._data).picture
        else:
            picture = codec.decode_preview(self._data, self._leave_out).picture
        if self._mode != "I;16":
            picture = picture.to_8_bit()
        self.im = picture.to_pil().im
        self._data = b""
        if self._exclusive_fp and self.fp is not None:
            self.fp.close()
        self.fp = None


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.MAGIC)


def _save(image: Image.Image, fp: IO[bytes], _: str | bytes) -> None:
    from licframe.codec.target import Target
    from licframe.picture.images import from_pil

    wanted = image.encoderinfo
    with _as_pillow_does():
        given = {name: _given(wanted[field], field) for name, field in _INFO.items() if field in wanted}
        picture = from_pil(image, metadata=given)
        target = Target(**{name: wanted[name] for name in _OPTIONS if name in wanted})
        fp.write(_codec(str(wanted.get("profile", DEFAULT_PROFILE))).encode(picture, target).data)


def _given(value: Any, field: str) -> bytes:
    """Return metadata that were given to ``save``.

    Raises:
        UsageError: they are of another type.
    """
    from licframe.errors import UsageError
    from licframe.picture.metadata import bytes_of_field

    known: tuple[type, ...] = (bytes, bytearray, memoryview, type(None))
    known += {"exif": (Image.Exif,), "xmp": (str,)}.get(field, ())
    if not isinstance(value, known):
        names = ", ".join("None" if kind is type(None) else kind.__name__ for kind in known)
        raise UsageError(f"{field} is {type(value).__name__}; give {names}")
    return bytes_of_field(value)


Image.register_open(FORMAT, LicImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, SUFFIX)
Image.register_mime(FORMAT, MIME)
