"""Pictures in and out: files, Pillow images and numpy arrays.

Kept exactly: RGB and grey with 8 or 16 bits, with or without alpha. Palettes and 1-bit pictures become what
they show; CMYK and its like are converted, with a warning; anything else is refused with a way out. Pixels are
turned upright by their EXIF orientation. ICC, EXIF and XMP travel along.
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from licframe.errors import FileError, ImageError, LicframeWarning, LimitError
from licframe.picture import sixteen_bit
from licframe.picture.error import psnr
from licframe.runtime.atomic import bytes_of, write_atomically
from licframe.runtime.limits import DEFAULT, Limits

_FIELDS = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
"""Our names of metadata, and Pillow's."""
_TIFF_XMP = 700
_ORIENTATION = 0x0112
_DESCRIPTIVE = (0x010E, 0x010F, 0x0110, _ORIENTATION, 0x0131, 0x0132, 0x013B, 0x8298)
"""TIFF tags that describe a photograph rather than the file: description, camera, software, date, author."""
_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}
_SHOWN_AS = {"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB"}
"""Pillow modes that another one holds without loss."""
_CONVERTED = ("CMYK", "YCbCr", "LAB", "HSV")
_opening = threading.Lock()


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
        image.info.update({_FIELDS[k]: v for k, v in self.metadata.items()})
        return image

    def to_8_bit(self) -> Picture:
        """Return the picture with 8 bits a sample."""
        if self.depth == 8:
            return self
        alpha = None if self.alpha is None else _reduce(self.alpha)
        return Picture(_reduce(self.pixels), self.metadata, alpha)

    def to_rgb(self) -> Picture:
        """Return what codecs are compared on: 8-bit RGB, without alpha and metadata."""
        pixels = self.to_8_bit().pixels
        return Picture(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, 2))

    def psnr(self, pixels: NDArray[Any]) -> float:
        """Return the PSNR in dB of decoded pixels of the same shape, over what is not fully transparent."""
        if self.alpha is None or not self.alpha.any():
            return psnr(self.pixels, pixels)
        seen = self.alpha > 0
        return psnr(self.pixels[seen], pixels[seen])

    def save(self, path: Path) -> None:
        """Write a picture file; the suffix decides the format. Written whole or not at all.

        Raises:
            FileError: nothing can be written there. ImageError: not that kind of file, or not with this depth.
        """
        write_atomically(path, self.encode(path.suffix.lower(), str(path)))

    def encode(self, suffix: str, where: str = "the picture") -> bytes:
        """Return the bytes of a picture file of the kind that ``suffix`` names (see ``save``)."""
        kind = Image.registered_extensions().get(suffix)
        if kind not in Image.SAVE:
            raise ImageError(f"cannot write {where}: unknown suffix {suffix!r}; use .png, .ppm or .tiff")
        if kind == "PPM" and self.alpha is not None:  # Pillow would drop it
            raise ImageError(f"cannot write {where}: a PPM file holds no alpha; use .png")
        write = self._encode if self.depth == 8 else partial(sixteen_bit.encode, self.samples)
        data = write(kind, self.metadata, where)
        if self.metadata:
            with Image.open(io.BytesIO(data)) as written:
                kept = _metadata(written)
            lost = [name for name in self.metadata if _FIELDS[name] not in kept]
            if lost:
                warnings.warn(
                    f"{where} does not hold {', '.join(lost)}; a .png would", LicframeWarning, stacklevel=2
                )
        return data

    def _encode(self, kind: str, metadata: dict[str, bytes], where: str) -> bytes:
        keep: dict[str, Any] = {_FIELDS[k]: v for k, v in metadata.items()}
        if kind == "PNG" and "xmp" in keep:
            texts = keep["pnginfo"] = PngImagePlugin.PngInfo()
            texts.add_itxt("XML:com.adobe.xmp", keep.pop("xmp").decode("utf-8", "replace"))
        if kind == "TIFF" and "xmp" in keep:
            tags = Image.Exif()
            tags.load(keep.get("exif", b""))
            tags[_TIFF_XMP] = keep.pop("xmp")
            keep["exif"] = tags
        buffer = io.BytesIO()
        try:
            Image.fromarray(self.samples).save(buffer, kind, **keep)
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot write {where} as {kind}: {error}; use .png") from error
        return buffer.getvalue()


def read_picture(source: Path | bytes, limits: Limits = DEFAULT, *, first_frame: bool = False) -> Picture:
    """Read a picture from a file or its bytes.

    Args:
        first_frame: take the first frame of an animation instead of refusing it.

    Raises:
        FileError: missing, or not readable. ImageError: no picture, or of a kind that is not supported.
        LimitError: empty, or larger than the limits.
    """
    where = str(source) if isinstance(source, Path) else "the picture"
    try:
        with _opened(source) as image:
            _check_size(image.size, where, limits)
            _check_frames(image, where, first_frame)
            if sixteen_bit.is_deep(image):
                data = source.read_bytes() if isinstance(source, Path) else source
                return _upright(sixteen_bit.decode(data, image.format), _metadata(image))
            image.load()
            return from_pil(image, where, first_frame=first_frame)
    except FileNotFoundError as error:
        raise FileError(f"there is no file {where}") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{where} is not a picture that Pillow can read; give a PNG, JPEG, TIFF, WebP, AVIF or PPM file"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        if getattr(error, "strerror", None):
            raise FileError(f"cannot read {where}: {error.strerror}") from error  # type: ignore[union-attr]
        reason = str(error).strip().splitlines()[0]
        raise ImageError(f"cannot read {where}: {reason}; is the file complete?") from error


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Image.Image]:
    """Open a picture without Pillow's limit of pixels: ours can be raised, and is checked at once."""
    with _opening:
        theirs, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(source if isinstance(source, Path) else io.BytesIO(source))
        finally:
            Image.MAX_IMAGE_PIXELS = theirs
    with image:
        yield image


def from_pil(image: Image.Image, where: str = "the image", *, first_frame: bool = False) -> Picture:
    """Turn a Pillow image into a picture."""
    _check_size(image.size, where, DEFAULT)
    _check_frames(image, where, first_frame)
    info = _metadata(image)
    if image.mode in _CONVERTED:
        profile = info.pop("icc_profile", None)
        with_profile = profile is not None and image.mode == "CMYK"
        warnings.warn(
            f"{where} is {image.mode} and was converted to RGB{' by its ICC profile' * with_profile}",
            LicframeWarning,
            stacklevel=2,
        )
        shown = _by_profile(image, profile, where) if with_profile else image.convert("RGB")
    elif image.mode == "P" or "transparency" in image.info:
        colour = "L" if image.mode in "1L" else "RGB"
        shown = image.convert(colour + "A" * ("transparency" in image.info))
    else:
        shown = image.convert(_SHOWN_AS[image.mode]) if image.mode in _SHOWN_AS else image
    if shown.mode not in ("L", "RGB", "LA", "RGBA") and not shown.mode.startswith("I;16"):
        raise ImageError(
            f"{where} has mode {image.mode}, whose range is not that of 8 or 16 bits; scale it and convert it, for "
            "example image.convert('L')"
        )
    samples = np.asarray(shown)
    if samples.dtype != np.uint8:
        samples = samples.astype(np.uint16)
    return _upright(samples, info)


def from_array(pixels: NDArray[Any], metadata: dict[str, bytes] | None = None) -> Picture:
    """Turn ``(H, W)`` or ``(H, W, 2 .. 4)`` uint8 or uint16 into a picture; 2 and 4 end in alpha."""
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (2, 3, 4))
    if not shaped or pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(
            f"an array of shape {pixels.shape} and type {pixels.dtype} is no picture; expected uint8 or uint16 of "
            "shape (H, W), or (H, W, n) with n = 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha)"
        )
    _check_size((pixels.shape[1], pixels.shape[0]), "the array", DEFAULT)
    return _from_samples(pixels, metadata or {})


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
    return read_picture(Path(image) if isinstance(image, str | os.PathLike) else bytes_of(image))


def _from_samples(samples: NDArray[Any], metadata: dict[str, bytes]) -> Picture:
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        colour, alpha = samples[..., :-1], np.ascontiguousarray(samples[..., -1])
        colour = colour[..., 0] if colour.shape[2] == 1 else colour
        return Picture(np.ascontiguousarray(colour), metadata, alpha)
    return Picture(np.ascontiguousarray(samples), metadata)


def _metadata(image: Image.Image) -> dict[Any, Any]:
    """Return Pillow's ``info``, with EXIF and XMP where this module looks for them."""
    info = {k: v for k, v in image.info.items() if k != "transparency"}
    if "XML:com.adobe.xmp" in info:
        info.setdefault("xmp", info.pop("XML:com.adobe.xmp").encode())
    if "exif" not in info and (image.format == "TIFF" or "Raw profile type exif" in info):
        found, kept = image.getexif(), Image.Exif()
        kept.update({tag: found[tag] for tag in _DESCRIPTIVE if tag in found})
        for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if entries := found.get_ifd(part):
                kept.get_ifd(part).update(entries)
        if kept.get(_ORIENTATION) == 1:  # every TIFF may say that
            del kept[_ORIENTATION]
        if len(kept):
            info["exif"] = kept.tobytes()
    return info


def _upright(samples: NDArray[Any], info: dict[Any, Any]) -> Picture:
    """Return a picture of samples and metadata, turned by its EXIF orientation."""
    # Pillow mends EXIF and XMP of what it turns; a picture of one pixel is turned for nothing.
    probe = Image.new("L", (1, 1))
    probe.info.update(info)
    try:
        turn = _UPRIGHT.get(probe.getexif().get(_ORIENTATION, 1))
        if turn is not None:
            ImageOps.exif_transpose(probe, in_place=True)
            samples = turn(samples)
    except (SyntaxError, ValueError, KeyError, OSError) as error:  # EXIF is what somebody's camera wrote
        warnings.warn(f"unreadable EXIF is kept as it is ({error})", LicframeWarning, stacklevel=3)
    found = {name: probe.info.get(field) for name, field in _FIELDS.items()}
    return _from_samples(samples, {k: v for k, v in found.items() if isinstance(v, bytes) and v})


def _by_profile(image: Image.Image, profile: bytes, where: str) -> Image.Image:
    try:
        return ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        ) or image.convert("RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise ImageError(
            f"{where} has an ICC profile that cannot be applied ({error}); convert it to RGB"
        ) from error


def _reduce(samples: NDArray[Any]) -> NDArray[np.uint8]:
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


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
