"""Pictures in and out: files, Pillow images and numpy arrays.

Kept exactly: RGB and grey with 8 or 16 bits, with or without alpha. Palettes and 1-bit pictures become what
they show; CMYK and its like are converted, with a warning; anything else is refused with a way out. Pixels are
turned upright by their EXIF orientation. ICC, EXIF and XMP travel along.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from licframe.errors import ImageError, LimitError
from licframe.picture import mapped, sixteen_bit, writing
from licframe.picture.colour import bits_in_file, head_of, said_elsewhere, to_rgb, transparent_colour
from licframe.picture.error import psnr, ssimulacra2
from licframe.picture.metadata import FIELDS, metadata_of, tiff_metadata, upright
from licframe.picture.opening import guarded, note, quiet_libtiff
from licframe.picture.region import Region, box_of
from licframe.picture.sixteen_bit import reduced
from licframe.runtime.atomic import bytes_of, write_atomically
from licframe.runtime.limits import DEFAULT, Limits

_SHOWN_AS = {"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB"}
"""Pillow modes that another one holds without loss."""
_CONVERTED = ("CMYK", "YCbCr", "LAB", "HSV")


@attrs.frozen(eq=False)
class Picture:
    """Pixels and metadata.

    Attributes:
        pixels: uint8 or uint16, ``(H, W, 3)`` for RGB, ``(H, W)`` for grey.
        metadata: "icc", "exif", "xmp" as bytes, where present.
        alpha: ``(H, W)`` of the same type, 0 where transparent; None if everything is opaque.
    """

    pixels: NDArray[Any]
    metadata: dict[str, bytes] = attrs.field(factory=dict)
    alpha: NDArray[Any] | None = None

    @property
    def mode(self) -> str:
        """ "L", "RGB", "LA" or "RGBA"."""
        return ("RGB" if self.pixels.ndim == 3 else "L") + "A" * (self.alpha is not None)

    @property
    def depth(self) -> int:
        """Bits per sample, 8 or 16."""
        return 8 * self.pixels.itemsize

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def samples(self) -> NDArray[Any]:
        """Pixels and alpha together: ``(H, W)``, or ``(H, W, 2 .. 4)``."""
        if self.alpha is None:
            return self.pixels
        return np.dstack([self.pixels, self.alpha])

    def to_pil(self) -> Image.Image:
        """Return a Pillow image with the metadata in ``info``.

        Raises:
            ImageError: Pillow has no mode for 16-bit samples but those of plain grey.
        """
        if self.depth == 16 and self.mode != "L":
            raise ImageError(
                f"Pillow has no 16-bit {self.mode}; take the samples of licframe.read(...), save them as .png or .tiff "
                "with its save(), or reduce them with to_8_bit()"
            )
        image = Image.fromarray(self.samples)
        image.info.update({FIELDS[k]: v for k, v in self.metadata.items()})
        return image

    def to_8_bit(self) -> Picture:
        """Return the picture with 8 bits a sample."""
        if self.depth == 8:
            return self
        alpha = None if self.alpha is None else reduced(self.alpha)
        return Picture(reduced(self.pixels), self.metadata, alpha)

    def to_rgb(self) -> Picture:
        """Return what codecs are compared on: 8-bit RGB, without alpha and metadata."""
        pixels = self.to_8_bit().pixels
        return Picture(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2))

    def part(self, region: Region) -> Picture:
        """Return a part of the picture: x, y, width and height.

        Raises:
            UsageError: it does not lie within the picture.
        """
        box = box_of(region, *self.size)
        return Picture(self.pixels[box], self.metadata, None if self.alpha is None else self.alpha[box])

    def psnr(self, pixels: NDArray[Any]) -> float:
        """Return the PSNR in dB of decoded pixels of the same shape, over what is not fully transparent; inf if everything is."""
        if self.alpha is None:
            return psnr(self.pixels, pixels)
        seen = self.alpha > 0
        return psnr(self.pixels[seen], pixels[seen]) if seen.any() else math.inf

    def fidelity(self, metric: str, pixels: NDArray[Any]) -> float:
        """Return how good decoded pixels are by "psnr" or "ssimulacra2", the methods of that name."""
        measure: Callable[[NDArray[Any]], float] = getattr(self, metric)
        return measure(pixels)

    def ssimulacra2(self, pixels: NDArray[Any]) -> float:
        """Return the SSIMULACRA2 score of decoded pixels of the same shape; what is fully transparent counts as equal.

        Raises:
            ImageError: a side is below 8 pixels. MissingPackageError: the package ssimulacra2 is not installed.
        """
        if self.alpha is not None:
            hidden = self.alpha == 0
            pixels = np.where(hidden if pixels.ndim == 2 else hidden[..., None], self.pixels, pixels)
        return ssimulacra2(self.pixels, pixels)

    def save(self, path: Path, *, quality: int | None = None, small: bool = False) -> None:
        """Write a picture file; the suffix decides the format. Written whole or not at all.

        Raises:
            FileError: nothing can be written there. Others as ``encode``.
        """
        write_atomically(path, self.encode(path.suffix.lower(), str(path), quality=quality, small=small))

    def encode(
        self, suffix: str, where: str = "the picture", *, quality: int | None = None, small: bool = False
    ) -> bytes:
        """Return the bytes of a picture file of the kind that ``suffix`` names; what is lost by that is said.

        Args:
            quality: 0 to 100, of JPEG, AVIF, WebP and PDF. By default 95 with full colour, and WebP without loss.
            small: make a PNG as small as it gets, for some four times the time.

        Raises:
            ImageError: not that kind of file, or not with this depth or alpha. UsageError: it has no such quality.
        """
        return writing.encode(self.samples, self.metadata, suffix, where, quality, small=small)


def read_picture(
    source: Path | bytes, limits: Limits = DEFAULT, *, first_frame: bool = False, where: str = ""
) -> Picture:
    """Read a picture from a file or its bytes; a large PPM file and a numpy file are mapped, not read.

    Args:
        first_frame: take the first frame of an animation instead of refusing it.
        where: name of the picture in messages, if not that of the file.

    Raises:
        FileError: missing, or not readable. ImageError: no picture, or of a kind that is not supported.
        LimitError: empty, or larger than the limits.
    """
    where = where or (str(source) if isinstance(source, Path) else "the picture")
    with guarded(where, limits):
        samples = mapped.samples_of(source)
        if samples is not None:
            return from_array(samples, limits=limits, where=where)
    with (
        guarded(where, limits),
        source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as stream,
    ):
        try:
            image = Image.open(stream)
        except UnidentifiedImageError:
            stream.seek(0)
            data = stream.read()
            samples = sixteen_bit.open_tiff(data, where, limits, first_frame)
            if samples is None:
                raise
            return _from_samples(*upright(samples, tiff_metadata(data, where), where))
        with image:
            return _of_image(image, where, limits, first_frame)


def from_pil(
    image: Image.Image,
    where: str = "the image",
    *,
    first_frame: bool = False,
    metadata: Mapping[str, bytes] | None = None,
) -> Picture:
    """Turn a Pillow image into a picture.

    An image that was opened from a file, and not changed since, is read as that file is: with all its bits, and
    upright. Any other is its pixels.

    Args:
        metadata: "icc", "exif" and "xmp" in place of those of the image; empty for none.

    Raises:
        ImageError: its file is damaged, or of a kind that is not supported. LimitError: empty, or too large.
    """
    with guarded(where, DEFAULT):
        return _of_image(image, where, DEFAULT, first_frame, metadata)


def _of_image(
    image: Image.Image,
    where: str,
    limits: Limits,
    first_frame: bool,
    given: Mapping[str, bytes] | None = None,
) -> Picture:
    _check_size(image.size, where, limits)
    _check_frames(image, where, first_frame)
    head = head_of(image)
    metadata = metadata_of(image, where)
    given = dict(given or {})
    without_exif = (
        given.pop("exif") if given.get("exif") == b"" else None
    )  # its orientation counts all the same
    metadata.update(given)
    samples = _samples(image, head, metadata, where, limits)
    if image.format == "PNG":  # what follows the pixels is known only now
        metadata = {**metadata_of(image, where), **metadata}
    if "icc" not in metadata:
        grey = samples.ndim == 2 or samples.shape[2] == 2
        if (profile := said_elsewhere(image, head, where, grey=grey)) is not None:
            metadata["icc"] = profile
    # EXIF that is given speaks of these pixels; that of a file, of the file's
    turn = isinstance(image, ImageFile.ImageFile) or "exif" in given
    samples, metadata = upright(samples, metadata, where, turn=turn)
    if without_exif is not None:
        metadata.pop("exif", None)
    return _from_samples(samples, metadata)


def _samples(
    image: Image.Image, head: bytes, metadata: dict[str, bytes], where: str, limits: Limits
) -> NDArray[Any]:
    with quiet_libtiff(image.format):
        found = sixteen_bit.data_of(image)
        if found is not None:
            samples = sixteen_bit.decode(*found, where, limits)
            if image.mode in _CONVERTED:
                metadata.pop("icc", None)  # of the inks
            with suppress(Exception):
                image.load()  # so that Pillow closes its file, as it does when others are read
            return samples
        image.load()
    _check_size(image.size, where, limits)  # of icons it is known only now
    samples = _shown(image, metadata, where)
    if (bits := bits_in_file(image.format, head)) > 8 * samples.itemsize:
        note(
            f"{where} has {bits} bits a sample, of which Pillow reads 8; a 16-bit PNG or TIFF file keeps them"
        )
    return samples


def _shown(image: Image.Image, metadata: dict[str, bytes], where: str) -> NDArray[Any]:
    """Return what a loaded Pillow image shows: uint8 or uint16 samples."""
    key = image.info.get("transparency")
    clear = image.has_transparency_data
    colour = None if key is None else transparent_colour(image)
    if colour is None and isinstance(key, tuple) and max(key) > 255:  # of 16 bits, of which Pillow kept 8
        colour = tuple(value >> 8 for value in key)
    if colour not in (None, key):
        image = image.copy()
        image.info["transparency"] = colour
    if image.mode in _CONVERTED:
        shown = to_rgb(image, metadata.pop("icc", None), where)
    elif image.mode.startswith("I;16"):
        samples = sixteen_bit.mend_loaded(image, np.asarray(image).astype(np.uint16), where)
        if not isinstance(key, int):
            return samples
        return np.dstack([samples, np.where(samples == key, np.uint16(0), np.uint16(65535))])
    elif image.mode == "P" or key is not None:
        shown = image.convert(("L" if image.mode in "1L" else "RGB") + "A" * clear)
    else:
        shown = image.convert(_SHOWN_AS[image.mode]) if image.mode in _SHOWN_AS else image
    if shown.mode not in ("L", "RGB", "LA", "RGBA"):
        raise ImageError(
            f"{where} has mode {image.mode}, whose range is not that of 8 or 16 bits; scale it and convert it, for "
            "example image.convert('L')"
        )
    return sixteen_bit.mend_loaded(image, np.asarray(shown), where)


def from_array(
    pixels: NDArray[Any],
    metadata: dict[str, bytes] | None = None,
    limits: Limits = DEFAULT,
    *,
    where: str = "the array",
) -> Picture:
    """Turn ``(H, W)`` or ``(H, W, 1 .. 4)`` uint8 or uint16, of any byte order, into a picture; 2 and 4 end in alpha."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    native = pixels.dtype.newbyteorder("=")
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (2, 3, 4))
    if not shaped or native not in (np.uint8, np.uint16):
        raise ImageError(
            f"{where} of shape {pixels.shape} and type {pixels.dtype} is no picture; expected uint8 or uint16 of "
            "shape (H, W), or (H, W, n) with n = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha)"
        )
    _check_size((pixels.shape[1], pixels.shape[0]), where, limits)
    return _from_samples(pixels.astype(native, copy=False), metadata or {})


def as_picture(
    image: Picture | Image.Image | NDArray[Any] | str | os.PathLike[str] | bytes | IO[bytes],
) -> Picture:
    """Return a picture from whatever holds one: also the bytes of a picture file, or a stream of them.

    Raises:
        ImageError, LimitError: it is no picture, or of a kind that is not supported; FileError: it cannot be read.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, Image.Image):
        return from_pil(image)
    if isinstance(image, np.ndarray):
        return from_array(image)
    if isinstance(image, str | os.PathLike):
        return read_picture(Path(image))
    if not (isinstance(image, bytes | bytearray | memoryview) or hasattr(image, "read")):
        raise ImageError(
            f"{type(image).__name__} is no picture; give a path, bytes or an open stream of a picture file, a Pillow "
            "image, or an array of uint8 or uint16"
        )
    return read_picture(bytes_of(image))


def _from_samples(samples: NDArray[Any], metadata: dict[str, bytes]) -> Picture:
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        colour, alpha = samples[..., :-1], np.ascontiguousarray(samples[..., -1])
        colour = colour[..., 0] if colour.shape[2] == 1 else colour
        return Picture(np.ascontiguousarray(colour), metadata, alpha)
    return Picture(np.ascontiguousarray(samples), metadata)


def _check_size(size: tuple[int, int], where: str, limits: Limits) -> None:
    if 0 in size:
        raise LimitError(f"{where} is empty ({size[0]}x{size[1]} pixels)")
    limits.check(*size, where)


def _check_frames(image: Image.Image, where: str, first_frame: bool) -> None:
    frames = getattr(image, "n_frames", 1)
    # the further pictures of an MPO file are previews or other views of a photograph
    if frames > 1 and not first_frame and image.format != "MPO":
        raise ImageError(
            f"{where} is animated ({frames} frames); save the frame you want as PNG, or take the first with --first-frame"
        )
