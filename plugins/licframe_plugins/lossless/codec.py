"""The codec: pictures to .lic files, and back, with every sample that is seen as it was.

Its scale has one quality, 100. Colours of samples with alpha 0 become 0, which costs next to nothing; nobody sees them.
"""

from __future__ import annotations

import zlib
from typing import Any, ClassVar

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import features

from licframe.parts import (
    DEFAULT_LIMITS,
    Capabilities,
    Clock,
    CorruptStreamError,
    Decoded,
    Encoded,
    File,
    Header,
    ImageCodec,
    LimitError,
    Limits,
    Picture,
    PluginLoadError,
    Target,
    UsageError,
    WeightsMismatchError,
    encode_alpha,
    read_alpha,
    read_file,
    write_file,
)

from . import planes
from .plugin import Options

LABEL = "lossless 1"
"""Name and version of the part, as files name their codec."""
QUALITY = 100
_OF_ONE_VALUE = 2
"""Most bytes of a coded alpha plane that has one value; with colours it is never smaller."""
_LIBRARIES = ("webp", "zlib")
"""What decides the bytes of a file; any of their versions decodes it."""


class Lossless(ImageCodec):
    """The codec of this module."""

    qualities = (QUALITY,)
    capabilities: ClassVar[Capabilities] = Capabilities(lossless=True)

    def __init__(self, options: Options) -> None:
        self.options = options
        for library in _LIBRARIES:
            if not features.check(library):
                raise PluginLoadError(
                    f"this Pillow was built without {library}; install Pillow's own wheel"
                )
        versions = (f"{library} {features.version(library)}" for library in _LIBRARIES)
        self.version = ", ".join([LABEL, f"Pillow {PIL.__version__}", *versions])

    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        target, clock = target or Target(), Clock()
        if target.quality not in (None, QUALITY):
            raise UsageError(
                f"quality is {target.quality:g}; the lossless codec has only {QUALITY}: leave the quality out, or name "
                "another profile"
            )
        width, height = picture.size
        with clock("alpha"):
            alpha = None if picture.alpha is None else encode_alpha(picture.alpha)
        seen_with = None
        with clock("coding"):
            samples = _seen(picture)
            payload = planes.encode(samples)
            if picture.alpha is not None and alpha is not None and len(alpha) > _OF_ONE_VALUE:
                both = planes.encode_with_alpha(samples, picture.alpha)
                if both is not None and len(both) < len(payload) + len(alpha):
                    payload, alpha, seen_with = both, b"", picture.alpha
        header = Header(
            width, height, picture.mode, QUALITY, "lossless", (), b"", depth=picture.depth, codec=LABEL
        )
        data = write_file(File(header, ((payload, _digest(samples, seen_with)),), picture.metadata, alpha))
        limit = target.limit(width * height)
        if limit is not None and len(data) > limit:
            raise LimitError(
                f"without loss the file has {len(data)} bytes ({8 * len(data) / (width * height):.4f} bpp), above the "
                f"target of {int(limit)} bytes; allow more, or name another profile"
            )
        return Encoded(data, QUALITY, clock.seconds, lossless=True)

    def decode(self, data: bytes, limits: Limits = DEFAULT_LIMITS, *, best_effort: bool = False) -> Decoded:
        clock = Clock(limits.seconds)
        with clock("alpha"):
            file = read_file(data, limits, best_effort=best_effort)
            header = file.header
            if header.codec != LABEL:
                raise WeightsMismatchError(
                    f"the file needs {header.codec or 'weights'}; this codec is {LABEL}"
                )
            file.check_streams()
            damage = list(file.damage)
            ((payload, digest),) = file.payloads
            size = header.height, header.width
            together = "A" in header.mode and planes.holds_alpha(payload, *size, header.depth)
            if together and file.alpha and not best_effort:
                raise CorruptStreamError(
                    "the .lic file is damaged: its alpha stands twice; get a new copy of it"
                )
            alpha = None if together else read_alpha(file, damage if best_effort else None)
        with clock("coding"):
            colours = 3 if "RGB" in header.mode else 1
            samples = planes.decode(payload, *size, colours, header.depth, alpha=together)
            inside = samples[..., -1] if together else None
            if together:
                samples, alpha = samples[..., :3] if colours == 3 else samples[..., 0], inside
            if _digest(samples, inside) != digest:
                raise CorruptStreamError(
                    "the .lic file is damaged: the digest of its samples does not match; get a new copy of it"
                )
        return Decoded(Picture(samples, file.metadata, alpha), clock.seconds, tuple(damage))


def _seen(picture: Picture) -> NDArray[Any]:
    """Return colour samples, 0 where nobody sees them."""
    if picture.alpha is None:
        return picture.pixels
    hidden = picture.alpha == 0
    return np.where(hidden if picture.pixels.ndim == 2 else hidden[..., None], 0, picture.pixels)


def _digest(samples: NDArray[Any], alpha: NDArray[Any] | None = None) -> int:
    """Return the CRC-32 of colours, and of alpha where the payload holds it."""
    digest = 0
    for plane in (samples,) if alpha is None else (samples, alpha):
        digest = zlib.crc32(plane.astype(plane.dtype.newbyteorder("<"), order="C").tobytes(), digest)
    return digest
