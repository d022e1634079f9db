"""A file to pictures while it arrives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.bitstream import arrival
from licframe.bitstream.container import Header, least_bytes, read_header
from licframe.codec.interface import ImageCodec
from licframe.codec.loading import Name, load_for
from licframe.errors import UsageError
from licframe.picture.images import Picture
from licframe.runtime.limits import DEFAULT, Limits


class ProgressiveDecoder:
    """Show a .lic file better and better while its bytes arrive.

    >>> import licframe
    >>> decoder = licframe.ProgressiveDecoder()
    >>> with open("photo.lic", "rb") as stream:
    ...     while piece := stream.read(1000):
    ...         preview = decoder.feed(piece)  # a Pillow image, or None
    >>> image = decoder.finish()

    Previews come after each of a number of equal parts of the payload, and of the details, whatever the pieces; each takes as
    long as decoding the file does. No digest can confirm them: that is for ``finish``. Files of codecs that have no preview give none. Samples of 16
    bits are shown with 8, but for plain grey.

    Args:
        profile, decoder: see ``licframe.decompress``.
        pictures: in how many parts each is seen.
        limits: of what is accepted.

    Raises:
        UsageError: fewer than one preview is asked for.
    """

    def __init__(
        self,
        profile: Name | None = None,
        decoder: str | None = None,
        *,
        pictures: int = 16,
        limits: Limits = DEFAULT,
    ) -> None:
        if pictures < 1:
            raise UsageError(f"pictures is {pictures}; ask for at least one")
        self._profile, self._decoder = profile, decoder
        self._pictures, self._limits = pictures, limits
        self._data = bytearray()
        self._header: Header | None = None
        self._parts = 0
        self._codec: ImageCodec | None = None
        self._last: NDArray[Any] | None = None

    def feed(self, data: bytes) -> Image.Image | None:
        """Take further bytes; return a preview where they make a new one.

        Raises:
            CorruptStreamError: what has arrived is no beginning of a .lic file; WeightsMismatchError: its weights are not
            installed; LimitError: it is larger than the limits allow; UsageError: ``data`` are no bytes.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise UsageError(f"feed takes bytes of a .lic file, not {type(data).__name__}")
        self._data += data
        stop = self._next_part()
        if stop is None:
            return None
        decoded = self._ready().decode_preview(bytes(self._data[:stop]), 0, self._limits)
        pixels = decoded.picture.pixels
        if self._last is not None and np.array_equal(pixels, self._last):
            return None
        self._last = pixels
        return _shown(decoded.picture)

    def finish(self) -> Image.Image:
        """Return the picture, when all bytes have arrived; what they hold is checked.

        Raises:
            CorruptStreamError: bytes are missing, or damaged. Others as ``feed``.
        """
        picture = self._ready().decode(bytes(self._data), self._limits).picture
        return _shown(picture)

    def _next_part(self) -> int | None:
        """Return where a part ends that has arrived since the last preview; None where none has."""
        self._header = self._header or arrival.header_of(self._data, self._limits)
        if self._header is None or self._header.codec:
            return None
        parts = stop = 0
        for start, end in arrival.coded_parts(self._data, self._header):
            arrived = (min(len(self._data), end) - start) * self._pictures // (end - start)
            if arrived > 0:
                parts, stop = parts + arrived, start - (-arrived * (end - start) // self._pictures)
        if parts <= self._parts or stop < least_bytes(self._header):
            return None
        self._parts = parts
        return stop

    def _ready(self) -> ImageCodec:
        """Return the codec of the file."""
        if self._codec is None:
            header = self._header or read_header(bytes(self._data), self._limits)
            self._codec = load_for(header, self._profile, self._decoder)
        return self._codec


def _shown(picture: Picture) -> Image.Image:
    """Return a Pillow image, with 8 bits where Pillow has no mode for 16."""
    return (picture if picture.mode == "L" else picture.to_8_bit()).to_pil()
