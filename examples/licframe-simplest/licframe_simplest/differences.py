"""A codec of its own kind: no latent, no weights.

What a codec must have:

1. ``version``: what exactly runs. Results of another version are another codec's.
2. ``qualities``: those that are worth measuring, from the smallest file to the largest.
3. ``encode``: a picture and a target to a whole file. ``search`` turns a target of size, rate or PSNR into a quality.
4. ``decode``: the file to the picture. Whatever the bytes are, it ends in a picture or in a ``LicframeError``.
5. ``capabilities``, where it cannot do all that the default says: 8 and 16 bits, grey, alpha, metadata, checksums.

``write_file`` and ``read_file`` make ``.lic`` files: header, checksums, metadata and alpha are taken care of. The file
names its codec by name and version, so that ``licframe decompress`` finds it. A codec of a format of its own is a
``PixelCodec``, which needs two functions only: pixels to bytes, and bytes to pixels.

Here samples are divided by a step and rounded; zlib packs the differences of neighbours. Where to go on: a better
prediction, and the exact range coder (``Encoder``, ``Decoder``, ``TableBank``) in place of zlib.
"""

import functools
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from licframe.parts import (
    DEFAULT_LIMITS,
    Clock,
    CorruptStreamError,
    Decoded,
    Encoded,
    File,
    Header,
    ImageCodec,
    Limits,
    Picture,
    Target,
    WeightsMismatchError,
    encode_alpha,
    read_alpha,
    read_file,
    search,
    whole_quality,
    write_file,
)

from .plugin import DifferencesOptions

LABEL = "differences 1"
"""Name and version of the part, as files name their codec."""


class Differences(ImageCodec):
    """Samples in steps, differences of neighbours, zlib; keeps 16 bits, alpha and metadata."""

    version = LABEL
    qualities = (0, 20, 40, 60, 80, 100)

    def __init__(self, options: DifferencesOptions) -> None:
        self.options = options

    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        target, clock = target or Target(), Clock()
        width, height = picture.size
        alpha = None if picture.alpha is None else encode_alpha(picture.alpha)

        @functools.cache  # a search asks for the same quality more than once
        def trial(quality: float) -> bytes:
            whole = whole_quality(quality)
            with clock("coding"):
                levels = np.round(picture.pixels / _step(whole, picture.depth))
                packed = np.diff(levels, axis=1, prepend=0).astype("<i4").tobytes()
                payload = zlib.compress(packed, self.options.effort)
            header = Header(
                width, height, picture.mode, whole, "differences", (), b"", picture.depth, LABEL
            )
            return write_file(File(header, ((payload, zlib.crc32(packed)),), picture.metadata, alpha))

        def psnr(quality: float) -> float:
            return picture.psnr(self.decode(trial(quality)).picture.pixels)

        quality = search(target, range(101), 50, width * height, lambda q: len(trial(q)), psnr)
        return Encoded(trial(quality), quality, clock.seconds)

    def decode(self, data: bytes, limits: Limits = DEFAULT_LIMITS, *, best_effort: bool = False) -> Decoded:
        clock = Clock(limits.seconds)
        with clock("coding"):
            file = read_file(data, limits, best_effort=best_effort)
            if file.header.codec != LABEL:
                raise WeightsMismatchError(
                    f"the file needs {file.header.codec or 'weights'}; this codec is {LABEL}"
                )
            file.check_streams()  # side streams of others may be critical
            damage = list(file.damage)
            alpha = read_alpha(file, damage if best_effort else None)
            pixels = _pixels(file)
        return Decoded(Picture(pixels, file.metadata, alpha), clock.seconds, tuple(damage))


def _step(quality: int, depth: int) -> float:
    """Return the distance of two levels: 64 of 255 at quality 0, 2 at 100."""
    return 2.0 ** (1 + 5 * (100 - quality) / 100) * (257 if depth == 16 else 1)


def _pixels(file: File) -> NDArray[Any]:
    """Return the samples of a file."""
    header = file.header
    shape = (header.height, header.width, 3) if "RGB" in header.mode else (header.height, header.width)
    ((payload, digest),) = file.payloads
    size = 4 * int(np.prod(shape))
    try:
        packed = zlib.decompressobj().decompress(payload, size + 1)  # never more, whatever the file says
    except zlib.error as error:
        raise CorruptStreamError(f"the payload cannot be unpacked: {error}") from error
    if len(packed) != size or zlib.crc32(packed) != digest:
        raise CorruptStreamError("the payload does not fit the picture; the file is damaged")
    levels = np.frombuffer(packed, "<i4").reshape(shape).cumsum(1)
    samples = np.round(levels * _step(header.quality, header.depth)).clip(0, 2**header.depth - 1)
    return samples.astype(np.uint16 if header.depth == 16 else np.uint8)
