"""Samples and metadata to the bytes of a picture file; whatever is lost by that is said, or refused."""

from __future__ import annotations

import io
import warnings
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from licframe.errors import ImageError, LicframeWarning, UsageError
from licframe.picture import sixteen_bit
from licframe.picture.metadata import FIELDS, TIFF_XMP, metadata_of
from licframe.picture.opening import pillow_unlimited

QUALITY = 95
"""Of a format with loss, unless another is asked for; colours have the resolution of grey where the format allows it."""
_LOSSY = MappingProxyType(
    {
        "JPEG": {"subsampling": "4:4:4"},
        "AVIF": {"subsampling": "4:4:4"},
        "PDF": {"subsampling": "4:4:4"},
        "WEBP": {},
    }
)
_RESIZED = ("ICNS", "ICO")


def encode(
    samples: NDArray[Any],
    metadata: dict[str, bytes],
    suffix: str,
    where: str,
    quality: int | None = None,
    *,
    small: bool = False,
) -> bytes:
    """Return the bytes of a picture file of samples ``(H, W)`` or ``(H, W, 2 .. 4)``, of the kind that ``suffix`` names.

    Args:
        quality: 0 to 100, of formats with loss; 95 by default, and no loss at all for WebP.
        small: make a PNG as small as it gets, for some four times the time.

    Raises:
        ImageError: no such kind of file, or it does not hold these samples. UsageError: it has no such quality.
    """
    kind = Image.registered_extensions().get(suffix)
    planes = 1 if samples.ndim == 2 else samples.shape[2]
    if kind not in Image.SAVE:
        raise ImageError(f"cannot write {where}: unknown suffix {suffix!r}; use .png, .ppm or .tiff")
    if kind == "PPM" and planes in (2, 4):  # Pillow would drop it
        raise ImageError(f"cannot write {where}: a PPM file holds no alpha; use .png")
    if kind in _RESIZED:
        raise ImageError(f"cannot write {where}: an {kind} file holds icons of fixed sizes only; use .png")
    if quality is not None and (kind not in _LOSSY or not 0 <= quality <= 100):
        known = ", ".join(sorted(_LOSSY))
        raise UsageError(
            f"cannot write {where} with quality {quality}: {known} take one of 0 to 100, other kinds none"
        )
    if samples.dtype == np.uint16:
        data = sixteen_bit.encode(samples, kind, metadata, where, png_level(small=small))
    else:
        data = _encode(samples, metadata, kind, where, _options(kind, quality, small=small))
    _check_written(data, samples, metadata, kind, where)
    return data


def _encode(
    samples: NDArray[np.uint8],
    metadata: dict[str, bytes],
    kind: str,
    where: str,
    options: dict[str, Any],
) -> bytes:
    keep: dict[str, Any] = {FIELDS[k]: v for k, v in metadata.items()}
    if kind == "PNG" and "xmp" in keep:
        texts = keep["pnginfo"] = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", keep.pop("xmp").decode("utf-8", "replace"))
    if kind == "TIFF" and "xmp" in keep:
        tags = Image.Exif()
        tags.load(keep.get("exif", b""))
        tags[TIFF_XMP] = keep.pop("xmp")
        keep["exif"] = tags
    keep.update(options)
    buffer = io.BytesIO()
    try:
        Image.fromarray(samples).save(buffer, kind, **keep)
    except Exception as error:  # plugins of Pillow raise whatever they came upon
        raise ImageError(f"cannot write {where} as {kind}: {error}; use .png") from error
    return buffer.getvalue()


def loss(suffix: str) -> str | None:
    """Return what a kind of file loses of 8-bit samples unless a quality is asked for; None for nothing."""
    kind = Image.registered_extensions().get(suffix)
    if kind == "GIF":
        return "all but 256 colours"
    return f"a little, as {kind} of quality {QUALITY}" if kind in _LOSSY and kind != "WEBP" else None


def png_level(*, small: bool) -> int:
    """Return the level of deflate: one that takes less time than decoding, or the best."""
    return 9 if small else 1


def _options(kind: str, quality: int | None, *, small: bool) -> dict[str, Any]:
    if kind == "PNG":
        return {"compress_level": png_level(small=small)}
    if kind == "WEBP" and quality is None:
        return {"lossless": True}
    return {"quality": QUALITY if quality is None else quality, **_LOSSY[kind]} if kind in _LOSSY else {}


def _check_written(
    data: bytes, samples: NDArray[Any], metadata: dict[str, bytes], kind: str, where: str
) -> None:
    """Say which metadata a file does not hold; refuse one that holds another picture."""
    kept: dict[str, bytes] = {}
    try:
        with pillow_unlimited(), Image.open(io.BytesIO(data)) as written:
            size, alpha = written.size, written.has_transparency_data
            if metadata:
                kept = metadata_of(written, where)
    except Exception:  # noqa: BLE001  (of a kind that Pillow writes and does not read)
        size, alpha = samples.shape[1::-1], True
    if size != samples.shape[1::-1] or (samples.ndim == 3 and samples.shape[2] in (2, 4) and not alpha):
        what = "alpha" if size == samples.shape[1::-1] else "that size"
        raise ImageError(f"cannot write {where}: {kind} does not hold {what}; use .png")
    if lost := [name for name in metadata if name not in kept]:
        warnings.warn(
            f"{where} does not hold {', '.join(lost)}; a .png would", LicframeWarning, stacklevel=4
        )
