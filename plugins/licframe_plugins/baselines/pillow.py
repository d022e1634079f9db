"""Baselines that Pillow encodes and decodes."""

from __future__ import annotations

import importlib.metadata
import io
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, features

from licframe.parts import CorruptStreamError, LimitError, PixelCodec, PluginLoadError, UsageError

from .plugin import Options


class PillowBaseline(PixelCodec):
    """One of Pillow's formats. Qualities reach from about 0.1 to 5 bpp on photographs where the format does."""

    #: Pillow's name of the format, and of the library to ask for its version
    format: ClassVar[str]
    library: ClassVar[str]
    #: what is given to ``save`` besides the quality
    fixed: ClassVar[MappingProxyType[str, Any]] = MappingProxyType({})

    def __init__(self, options: Options) -> None:
        self.options = options
        if not features.check(self.library):
            raise PluginLoadError(
                f"this Pillow was built without {self.format}; install Pillow's own wheel"
            )
        self.version = f"Pillow {PIL.__version__}, {self.library} {features.version(self.library)}"

    def asked(self, quality: float) -> dict[str, Any]:
        """Return the arguments of ``save`` for a quality.

        Raises:
            UsageError: it is outside 0 to 100.
        """
        if not 0 <= quality <= 100:
            raise UsageError(f"quality is {quality:g}; {self.format} takes 0 (smallest) to 100")
        return {"quality": int(quality)}

    def encode_pixels(self, pixels: NDArray[np.uint8], quality: float) -> bytes:
        out = io.BytesIO()
        try:
            Image.fromarray(pixels).save(out, self.format, **self.asked(quality), **self.fixed)
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            height, width = pixels.shape[:2]
            raise LimitError(
                f"{self.format} does not take {width}x{height} pixels at quality {quality:g} ({error}); use another "
                "quality, or a smaller picture"
            ) from error
        return out.getvalue()

    def decode_pixels(self, data: bytes) -> NDArray[np.uint8]:
        try:
            with Image.open(io.BytesIO(data), formats=[self.format]) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, RuntimeError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise CorruptStreamError(
                f"this is no sound {self.format} file ({error}); get a new copy of it"
            ) from error


class Jpeg(PillowBaseline):
    """JPEG with optimised Huffman tables and the usual 4:2:0."""

    format, library, suffix = "JPEG", "jpg", ".jpg"
    qualities = (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99)
    fixed = MappingProxyType({"optimize": True})


class WebP(PillowBaseline):
    """Lossy WebP, slowest method."""

    format, library, suffix = "WEBP", "webp", ".webp"
    qualities = (1, 5, 10, 25, 40, 55, 70, 80, 90, 95)
    fixed = MappingProxyType({"method": 6})


class Avif(PillowBaseline):
    """AVIF without colour subsampling."""

    format, library, suffix = "AVIF", "avif", ".avif"
    qualities = (10, 20, 30, 40, 50, 60, 70, 80, 90, 94, 97)
    fixed = MappingProxyType({"subsampling": "4:4:4", "speed": 4})


class AvifUsual(Avif):
    """AVIF as people get it: colours at half the resolution, speed 6."""

    fixed = MappingProxyType({"subsampling": "4:2:0", "speed": 6})


class Jpeg2000(PillowBaseline):
    """JPEG 2000, steered by its compression ratio."""

    format, library, suffix = "JPEG2000", "jpg_2000", ".jp2"
    qualities = (240, 160, 96, 64, 48, 32, 24, 16, 12)
    fixed = MappingProxyType({"irreversible": True, "mct": 1})

    def asked(self, quality: float) -> dict[str, Any]:
        if not quality >= 1:
            raise UsageError(f"quality is {quality:g}; of JPEG 2000 it is the compression ratio, 1 or more")
        return {"quality_mode": "rates", "quality_layers": [quality]}


class JpegXl(PillowBaseline):
    """JPEG XL through pillow-jxl-plugin."""

    format, library, suffix = "JXL", "jxl", ".jxl"
    qualities = (1, 15, 30, 45, 60, 70, 80, 90, 94, 97, 99)
    fixed = MappingProxyType({"effort": 7})

    def __init__(self, options: Options) -> None:
        try:
            import pillow_jxl  # noqa: F401 - registers the format
        except ImportError as error:
            raise PluginLoadError(
                'baseline jxl needs another package: pip install "licframe[bench]"'
            ) from error
        self.options = options
        self.version = f"pillow-jxl-plugin {importlib.metadata.version('pillow-jxl-plugin')}"
