"""One image seen through two codecs at equal bytes, with error maps."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.codec.interface import ImageCodec
from licframe.codec.target import Target
from licframe.evaluation import metrics
from licframe.evaluation.codecs import codec_named
from licframe.picture.error import AMPLIFICATION, error_map
from licframe.picture.images import Picture, read_picture

_TRIES = 12


@attrs.frozen(eq=False)
class View:
    """A picture in the report: its label and a data address that holds it."""

    label: str
    address: str


@attrs.frozen(eq=False)
class Comparison:
    """Views of one image: original, codec, baseline, and the errors of both."""

    name: str
    caption: str
    views: tuple[View, ...]


def equal_bytes(codec: ImageCodec, picture: Picture, size: int) -> bytes:
    """Return the largest file of a codec that is not above ``size``, by bisection of its quality.

    Where even the smallest is above, that one is returned.
    """
    ends = sorted(codec.qualities)
    low, high = float(ends[0]), float(ends[-1])
    files = {quality: codec.encode(picture, Target(quality=quality)).data for quality in (low, high)}
    if len(files[low]) > len(files[high]):
        low, high = high, low  # a codec whose parameter means loss
    if len(files[high]) <= size:
        return files[high]
    for _ in range(_TRIES):
        middle = (low + high) / 2
        data = files[middle] = codec.encode(picture, Target(quality=middle)).data
        low, high = (middle, high) if len(data) <= size else (low, middle)
    fitting = [data for data in files.values() if len(data) <= size]
    return max(fitting or [min(files.values(), key=len)], key=len)


def compare(
    path: Path, profile: str, baseline: str, quality: int, overrides: tuple[str, ...] = ()
) -> Comparison:
    """Encode an image with a profile, and with a baseline at the same size."""
    picture = read_picture(path).to_rgb()
    if picture.mode != "RGB":
        picture = attrs.evolve(picture, pixels=np.repeat(picture.pixels[..., None], 3, 2))
    codec, other = codec_named(profile, overrides), codec_named(baseline)
    data = codec.codec.encode(picture, Target(quality=quality)).data
    other_data = equal_bytes(other.codec, picture, len(data))
    decoded = [c.codec.decode(d).picture.pixels for c, d in ((codec, data), (other, other_data))]
    width, height = picture.size
    said = [
        f"{name} {len(d)} bytes, {8 * len(d) / (width * height):.3f} bpp, {metrics.psnr(picture.pixels, p):.2f} dB"
        for name, d, p in zip((codec.name, other.name), (data, other_data), decoded, strict=True)
    ]
    views = [View("original", address(picture.pixels))]
    views += [View(c.name, address(p)) for c, p in zip((codec, other), decoded, strict=True)]
    views += [
        View(f"error of {c.name}, x{AMPLIFICATION}", address(error_map(picture.pixels, p), lossless=False))
        for c, p in zip((codec, other), decoded, strict=True)
    ]
    return Comparison(path.stem, "; ".join(said), tuple(views))


def address(pixels: NDArray[np.uint8], lossless: bool = True) -> str:
    """Return pixels as a data address of a WebP picture."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=lossless, quality=80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
