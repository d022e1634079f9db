"""Pictures in and out: files, Pillow images and numpy arrays.

Accepted are 8-bit RGB and grey. Anything else is refused with a way out rather than converted in
silence. ICC, EXIF and XMP travel along.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from licframe.errors import ImageError, LimitError
from licframe.limits import MAX_PIXELS, WARN_PIXELS


@attrs.frozen(eq=False)
class Picture:
    """Pixels and metadata.

    Attributes:
        pixels: uint8, ``(H, W, 3)`` for RGB, ``(H, W)`` for grey.
        metadata: "icc", "exif", "xmp" as bytes, where present.
    """

    pixels: NDArray[np.uint8]
    metadata: dict[str, bytes] = attrs.field(factory=dict)

    @property
    def mode(self) -> str:
        """ "RGB" or "L"."""
        return "RGB" if self.pixels.ndim == 3 else "L"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def to_pil(self) -> Image.Image:
        """Return a Pillow image with the metadata in ``info``."""
        image = Image.fromarray(self.pixels)
        names = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
        image.info.update({names[k]: v for k, v in self.metadata.items()})
        return image

    def save(self, path: Path) -> None:
        """Write a picture file; the suffix decides the format. Written whole or not at all.

        Raises:
            ImageError: Pillow cannot write that kind of file there.
        """
        image = self.to_pil()
        keep = {k: image.info[k] for k in ("icc_profile", "exif", "xmp") if k in image.info}
        buffer = io.BytesIO()
        kind = Image.registered_extensions().get(path.suffix.lower())
        if kind not in Image.SAVE:
            raise ImageError(
                f"cannot write {path}: unknown suffix {path.suffix!r}; use .png, .ppm or .tiff"
            )
        try:
            image.save(buffer, kind, **keep)
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot write {path} as {kind}: {error}; use .png") from error
        write_atomically(path, buffer.getvalue())


def read_picture(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an 8-bit RGB or grey picture from a file or its bytes.

    Raises:
        ImageError: no picture, or of a kind that is not supported.
        LimitError: empty, or more pixels than ``max_pixels``.
    """
    where = str(source) if isinstance(source, Path) else "the picture"
    try:
        with warnings.catch_warnings():
            # Our own limit applies, and is an error rather than a warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
                _check_size(image.size, where, max_pixels)
                image.load()
                return from_pil(image, where)
    except FileNotFoundError as error:
        raise ImageError(f"there is no file {where}") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{where} is not a picture that Pillow can read; give a PNG, JPEG, TIFF, WebP, AVIF or PPM file"
        ) from error
    except Image.DecompressionBombError as error:
        raise LimitError(f"{where} is too large: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"cannot read {where}: {reason}; is the file complete?") from error


def from_pil(image: Image.Image, where: str = "the image") -> Picture:
    """Turn a Pillow image into a picture."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise ImageError(f"{where} is animated ({frames} frames); save the frame you want as PNG")
    if image.mode not in ("RGB", "L") or "transparency" in image.info:
        raise ImageError(
            f"{where} has mode {image.mode}{' with transparency' * ('transparency' in image.info)}; 8-bit RGB "
            "and grey are supported; convert it first, for example image.convert('RGB')"
        )
    names = {"icc_profile": "icc", "exif": "exif", "xmp": "xmp"}
    found = {names[k]: image.info[k] for k in names if isinstance(image.info.get(k), bytes)}
    return from_array(np.asarray(image), found)


def from_array(pixels: NDArray[Any], metadata: dict[str, bytes] | None = None) -> Picture:
    """Turn ``(H, W)`` or ``(H, W, 3)`` uint8 into a picture."""
    good = pixels.dtype == np.uint8 and (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3))
    if not good:
        raise ImageError(
            f"an array of shape {pixels.shape} and type {pixels.dtype} is no picture; expected uint8 of "
            "shape (H, W, 3) or (H, W)"
        )
    _check_size((pixels.shape[1], pixels.shape[0]), "the array", MAX_PIXELS)
    return Picture(np.ascontiguousarray(pixels), metadata or {})


def as_picture(image: Picture | Image.Image | NDArray[Any] | str | os.PathLike[str]) -> Picture:
    """Return a picture from whatever holds one."""
    if isinstance(image, Picture):
        return image
    if isinstance(image, Image.Image):
        return from_pil(image)
    if isinstance(image, np.ndarray):
        return from_array(image)
    return read_picture(Path(image))


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
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ImageError(f"cannot write {path}: {error.strerror}") from error


def _check_size(size: tuple[int, int], where: str, max_pixels: int) -> None:
    pixels = size[0] * size[1]
    if pixels == 0:
        raise LimitError(f"{where} is empty ({size[0]}x{size[1]} pixels)")
    if pixels > max_pixels:
        raise LimitError(
            f"{where} has {size[0]}x{size[1]} pixels; at most {max_pixels} are taken; raise the limit with "
            "--max-pixels"
        )
    if pixels > WARN_PIXELS:
        warnings.warn(f"{where} has {pixels} pixels and will need much memory", stacklevel=3)
