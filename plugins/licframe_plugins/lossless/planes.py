"""Colour samples to the bytes of a payload, and back.

8 bits: a PNG or a lossless WebP file, whichever is smaller. 16 bits: the high bytes of all samples above the low bytes, as one
8-bit picture of twice the height, in the same way, or, of grey, a 16-bit PNG file. Pillow writes no 16-bit RGB, and that needs no
further package. Alpha may stand in a WebP file with the colours.

What a payload holds is decided by its first bytes, and checked against the picture's size before Pillow sees it.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from licframe.parts import CorruptStreamError, pillow_unlimited

_WEBP_SIDE = 16383
_WEBP_EFFORT = {"lossless": True, "method": 5, "quality": 90}
"""The slowest method takes twenty times as long on a photograph, and saves 0.2 %."""
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_COLOURS = {(8, 1): b"\x08\0", (8, 3): b"\x08\x02", (16, 1): b"\x10\0"}
"""Depth and colour type, as a PNG file says them, by bits and planes."""


def encode(samples: NDArray[Any]) -> bytes:
    """Return the bytes of uint8 or uint16 ``(H, W)`` or ``(H, W, 3)``."""
    files = []
    if samples.itemsize == 2:
        if samples.ndim == 2:
            files.append(_png(samples))
        samples = _split(samples)
    files.append(_png(samples))
    if max(samples.shape[:2]) <= _WEBP_SIDE:
        files.append(_webp(samples))
    return min(files, key=len)


def encode_with_alpha(samples: NDArray[Any], alpha: NDArray[Any]) -> bytes | None:
    """Return the bytes of samples, as ``encode`` takes them, and of alpha ``(H, W)``; None if it holds only full opacity, or WebP no
    such size."""
    colours = samples if samples.ndim == 3 else np.repeat(samples[..., None], 3, 2)
    both = np.concatenate([colours, alpha[..., None]], 2)
    both = _split(both) if both.itemsize == 2 else both
    height, width = both.shape[:2]
    if max(height, width) > _WEBP_SIDE:
        return None
    data = _file(Image.fromarray(both), "WEBP", **_WEBP_EFFORT, exact=True)
    return data if _is_webp(data, height, width, alpha=True) else None


def _split(samples: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return the high bytes above the low ones."""
    return np.concatenate([samples >> 8, samples & 255]).astype(np.uint8)


def _png(samples: NDArray[Any]) -> bytes:
    return _file(Image.fromarray(samples), "PNG", optimize=True)


def _webp(samples: NDArray[np.uint8]) -> bytes:
    return _file(Image.fromarray(samples).convert("RGB"), "WEBP", **_WEBP_EFFORT)


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def holds_alpha(data: bytes, height: int, width: int, depth: int) -> bool:
    """Say whether the bytes begin as those of ``encode_with_alpha`` do."""
    return _is_webp(data, height * (depth // 8), width, alpha=True)


def decode(
    data: bytes, height: int, width: int, planes: int, depth: int, *, alpha: bool = False
) -> NDArray[Any]:
    """Return samples ``(H, W)`` or ``(H, W, 3)``, for 1 or 3 planes, uint8 or uint16 by ``depth``.

    Args:
        alpha: it is one more plane, the last: ``(H, W, 2)`` or ``(H, W, 4)``.

    Raises:
        CorruptStreamError: the bytes hold no such samples.
    """
    try:
        if depth == 16 and planes == 1 and not alpha and _is_png(data, height, width, 1, 16):
            return _decoded(PngImageFile, data).astype(np.uint16)
        rows = height * (depth // 8)
        if not alpha and _is_png(data, rows, width, planes, 8):
            samples = _decoded(PngImageFile, data)
        elif _is_webp(data, rows, width, alpha=alpha):
            samples = _decoded(WebPImageFile, data)
            if planes == 1:
                samples = samples[..., ::3] if alpha else samples[..., 0]
        else:
            raise ValueError(f"it begins with {data[:29]!r}")
        count = planes + alpha
        expected = (rows, width) if count == 1 else (rows, width, count)
        if samples.shape != expected or samples.dtype != np.uint8:
            raise ValueError(f"{samples.shape} {samples.dtype}")
    except (EOFError, OSError, SyntaxError, ValueError) as error:
        raise CorruptStreamError(
            f"the .lic file is damaged: its payload is no {width}x{height} picture of {planes} plane(s) of {depth} bits "
            f"({error}); get a new copy of it"
        ) from error
    if depth == 8:
        return samples
    high, low = samples[:height].astype(np.uint16), samples[height:]
    return high << 8 | low


def _is_png(data: bytes, height: int, width: int, planes: int, depth: int) -> bool:
    """Say whether the bytes begin as a PNG file of that size and kind, with nothing between its header and its samples."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    start = _PNG_START + size + _PNG_COLOURS[depth, planes] + bytes(3)
    return data.startswith(start) and data[37:41] == b"IDAT"


def _is_webp(data: bytes, height: int, width: int, *, alpha: bool = False) -> bool:
    """Say whether the bytes begin as a simple lossless WebP file of that size, with or without alpha."""
    if max(width, height) > _WEBP_SIDE:
        return False
    size = (width - 1 | (height - 1) << 14 | alpha << 28).to_bytes(4, "little")
    return data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8L" and data[20:25] == b"\x2f" + size


def _decoded(kind: type[ImageFile.ImageFile], data: bytes) -> NDArray[Any]:
    # the size is that of the header, checked before
    with pillow_unlimited(), kind(io.BytesIO(data)) as image:
        return np.asarray(image)
