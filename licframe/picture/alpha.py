"""The alpha plane, coded without loss; and colours for what nobody sees.

A plane of one value is that value, in 1 or 2 bytes; any other is a grey PNG of its depth or, with 8 bits, a
lossless WebP picture of three such planes, whichever is smaller.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from licframe.bitstream.container import File
from licframe.errors import CorruptStreamError
from licframe.picture.opening import pillow_unlimited

_KINDS = {1: (("PNG", "L"), ("WEBP", "RGB")), 2: (("PNG", "I;16"),)}
_WEBP_SIDE = 16383
_PNG_EFFORT = {"compress_level": 8}
_WEBP_EFFORT = {"lossless": True, "quality": 25, "method": 3}
"""The most takes fifty times as long as both, and saves 3 % of a photograph, a tenth of a mask, a quarter of a gradient."""


def encode(alpha: NDArray[Any]) -> bytes:
    """Return the bytes of a plane ``(H, W)`` of uint8 or uint16."""
    if (alpha == alpha.flat[0]).all():
        return int(alpha.flat[0]).to_bytes(alpha.itemsize, "little")
    image = Image.fromarray(alpha)
    files = [_file(image, "PNG", **_PNG_EFFORT)]
    if alpha.itemsize == 1 and max(alpha.shape) <= _WEBP_SIDE:
        files.append(_file(image.convert("RGB"), "WEBP", **_WEBP_EFFORT))
    return min(files, key=len)


def _file(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(data: bytes, height: int, width: int, depth: int) -> NDArray[Any]:
    """Return the plane, uint8 or uint16 by ``depth``.

    Raises:
        CorruptStreamError: the bytes hold no plane of that size and depth.
    """
    itemsize = depth // 8
    if len(data) == itemsize:
        return np.full((height, width), int.from_bytes(data, "little"), f"u{itemsize}")
    try:
        with pillow_unlimited(), Image.open(io.BytesIO(data), formats=("PNG", "WEBP")) as image:
            # checked before anything of that size is allocated
            if image.size != (width, height) or (image.format, image.mode) not in _KINDS[itemsize]:
                raise ValueError(f"{image.format} {image.mode} {image.size[0]}x{image.size[1]}")
            plane = image.getchannel(0) if image.mode == "RGB" else image
            return np.asarray(plane).astype(f"u{itemsize}")
    except (EOFError, OSError, SyntaxError, ValueError) as error:
        raise CorruptStreamError(
            f"the .lic file is damaged: its alpha plane is no {width}x{height} plane of {depth} bits ({error}); get a "
            "new copy of it"
        ) from error


def read(file: File, damage: list[str] | None = None) -> NDArray[Any] | None:
    """Return the plane of a file, None where it has none.

    Args:
        damage: takes a sentence on a plane that cannot be read, which is then opaque.

    Raises:
        CorruptStreamError: it cannot be read, and there is no list for that.
    """
    header = file.header
    if "A" not in header.mode:
        return None
    try:
        return decode(file.alpha or b"", header.height, header.width, header.depth)
    except CorruptStreamError:
        if damage is None:
            raise
        what = "missing" if file.alpha is None else "damaged"
        damage.append(f"its alpha plane is {what}: everything is opaque")
        kind = np.dtype(f"u{header.depth // 8}")
        return np.full((header.height, header.width), np.iinfo(kind).max, kind)


def fill(image: Tensor, visible: Tensor) -> Tensor:
    """Replace what is not visible by a smooth continuation of what is, so that it costs next to nothing.

    Args:
        image: ``(1, C, H, W)`` float; visible: ``(1, 1, H, W)`` bool.
    """
    if visible.all():
        return image
    if not visible.any():
        return torch.full_like(image, 0.5)
    weight = F.avg_pool2d(visible.to(image.dtype), 2, ceil_mode=True)
    mean = F.avg_pool2d(image * visible, 2, ceil_mode=True) / weight.clamp_min(1e-6)
    below = fill(mean, weight > 0)
    smooth = F.interpolate(below, image.shape[-2:], mode="bilinear")
    return torch.where(visible, image, smooth)
