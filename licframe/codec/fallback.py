"""A lossy codec that keeps a picture without loss where that takes no more bytes, or next to none.

Text, drawings and flat colours are such pictures; photographs are not, and pay for a cheap estimate only.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.bitstream import container
from licframe.codec.batching import in_batches, one_by_one
from licframe.codec.interface import Capabilities, Decoded, Encoded, ImageCodec
from licframe.codec.target import Target
from licframe.errors import LimitError
from licframe.picture.images import Picture
from licframe.picture.region import Region
from licframe.runtime.clock import Clock
from licframe.runtime.limits import DEFAULT, Limits

_BANDS, _BAND = 8, 32
"""The estimate's windows: so many along each side, of so many samples."""
_FAST, _BETTER = {"method": 0, "quality": 0}, {"method": 1, "quality": 30}
"""Options of WebP; the better one takes five times as long."""
_LEAST_OF_FAST, _LEAST_OF_BETTER = 0.2, 0.75
"""Parts of what they promise that a file without loss may have: of drawings and of text, and of photographs."""
_PHOTOGRAPH = 6.0
"""Bits a pixel of a fast file, from which on the better one is made, too."""
_TABLES = 2000
"""Bytes of a file that need not grow with its picture."""
_COLUMN_ROWS = 64
_SPARE_QUALITY, _SPARE = 21, 64
"""From this quality on, so many bytes more are worth a picture without loss: one of a single colour takes a few more."""


@attrs.define(eq=False, slots=False)
class FallbackCodec(ImageCodec):
    """A lossy codec of .lic files and a lossless one, which takes over where its file is no larger, or hardly.

    Attributes:
        lossy, lossless: the two; qualities and capabilities are those of the first.
        label: "name version" of the lossless one, as its files name it.
    """

    lossy: ImageCodec
    lossless: ImageCodec
    label: str
    version: str = attrs.field(init=False)

    @version.default
    def _(self) -> str:
        return f"{self.lossy.version}, or {self.lossless.version}"

    @property
    def qualities(self) -> Any:  # type: ignore[override]
        """Those of the lossy codec."""
        return self.lossy.qualities

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """Those of the lossy codec."""
        return self.lossy.capabilities

    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        """Compress a picture, without loss where that is within a target of size, or hardly larger at the quality asked for."""
        target, clock = target or Target(), Clock()
        limit = target.limit(math.prod(picture.size))
        if limit is not None:
            kept = self._kept(picture, limit, clock)
            if kept is not None:
                return _noted(kept, "which is within the target")
        try:
            encoded = self.lossy.encode(picture, target)
        except LimitError:  # of the target
            kept = self.lossless.encode(picture)
            if target.met(len(kept.data), math.prod(picture.size), lambda: math.inf):
                return _noted(kept, "which alone meets the target")
            raise
        if limit is not None:
            return attrs.evolve(encoded, seconds={**encoded.seconds, **clock.seconds})
        return self._cheaper(picture, encoded, target)

    def encode_many(self, pictures: Sequence[Picture], target: Target | None = None) -> list[Encoded]:
        """Compress pictures as ``encode`` does, at a quality with the lossy codec's networks for several at once."""
        target = target or Target()
        if not target.is_quality:
            return super().encode_many(pictures, target)
        try:
            encoded = self.lossy.encode_many(pictures, target)
        except LimitError:  # of a picture that can be kept
            return super().encode_many(pictures, target)
        return [self._cheaper(picture, one, target) for picture, one in zip(pictures, encoded, strict=True)]

    def _cheaper(self, picture: Picture, encoded: Encoded, target: Target) -> Encoded:
        """Return a picture without loss, if that is hardly larger than its lossy file."""
        size, clock = len(encoded.data), Clock()
        spare = _SPARE if target.fidelity is None and encoded.quality >= _SPARE_QUALITY else 0
        kept = self._kept(picture, size + spare, clock)
        if kept is not None:
            why = f"which takes {len(kept.data)} bytes, and quality {encoded.quality:g} takes {size}"
            return _noted(attrs.evolve(kept, seconds={**encoded.seconds, **kept.seconds}), why)
        return attrs.evolve(encoded, seconds={**encoded.seconds, **clock.seconds})

    def _kept(self, picture: Picture, size: float, clock: Clock) -> Encoded | None:
        """Return the picture without loss, if its file has at most so many bytes; with the time of finding out."""
        with clock("fallback"):
            kept = self.lossless.encode(picture) if may_fit(picture, size) else None
        if kept is None or len(kept.data) > size:
            return None
        return attrs.evolve(kept, seconds=clock.seconds)

    def decode(self, data: bytes, limits: Limits = DEFAULT, *, best_effort: bool = False) -> Decoded:
        """Decompress a file of either codec."""
        return self._of(data, limits).decode(data, limits, best_effort=best_effort)

    def decode_many(self, files: Sequence[bytes], limits: Limits = DEFAULT) -> list[Decoded]:
        """Decompress files of either codec, those of one together."""
        owned = one_by_one(files, lambda data: (self._of(data, limits), data))

        def decoded(some: Sequence[tuple[ImageCodec, bytes]]) -> list[Decoded]:
            return some[0][0].decode_many([data for _, data in some], limits)

        return in_batches(owned, decoded, lambda one: (one[0] is self.lossy, len(files)))

    def decode_region(
        self, data: bytes, region: Region, limits: Limits = DEFAULT, *, best_effort: bool = False
    ) -> Decoded:
        """Decompress a part of a file of either codec."""
        return self._of(data, limits).decode_region(data, region, limits, best_effort=best_effort)

    def decode_preview(
        self,
        data: bytes,
        leave_out: int = 0,
        limits: Limits = DEFAULT,
        *,
        best_effort: bool = False,
        region: Region | None = None,
    ) -> Decoded:
        """Decompress the coarser levels of a file of the lossy codec."""
        codec = self._of(data, limits)
        return codec.decode_preview(data, leave_out, limits, best_effort=best_effort, region=region)

    def verify(self, data: bytes, limits: Limits = DEFAULT) -> None:
        """Check a file of either codec."""
        self._of(data, limits).verify(data, limits)

    def _of(self, data: bytes, limits: Limits) -> ImageCodec:
        header = container.read_header(data, limits)
        return self.lossless if header.codec == self.label else self.lossy


def _noted(kept: Encoded, why: str) -> Encoded:
    return attrs.evolve(kept, notes=(*kept.notes, f"the picture is kept without loss, {why}"))


def may_fit(picture: Picture, size: float) -> bool:
    """Say whether a file of a picture without loss may have at most so many bytes; in a few milliseconds.

    WebP files of windows tell. Rows and columns that the picture repeats count once.
    """
    samples = _novel(_bytes(picture))
    seen = samples[_places(samples.shape[0])][:, _places(samples.shape[1])]
    pixels = math.prod(seen.shape[:2])
    size *= pixels / math.prod(samples.shape[:2])
    fast = _webp_size(seen, _FAST)
    if _LEAST_OF_FAST * (fast - _TABLES) > size:
        return False
    return (
        8 * fast < _PHOTOGRAPH * pixels or _LEAST_OF_BETTER * (_webp_size(seen, _BETTER) - _TABLES) <= size
    )


def _bytes(picture: Picture) -> NDArray[np.uint8]:
    """Return samples, 0 where nobody sees them; of 16 bits the high bytes above the low ones."""
    samples = picture.pixels
    if picture.alpha is not None:
        hidden = picture.alpha == 0
        samples = np.where(hidden if samples.ndim == 2 else hidden[..., None], 0, samples)
    if samples.itemsize == 2:
        samples = np.concatenate([samples >> 8, samples & 255]).astype(np.uint8)
    return samples


def _novel(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return samples ``(H, W)`` or ``(H, W, 3)`` without rows that stand above, and columns that stand to the left."""
    samples = _firsts(samples, samples)
    few = samples[:: -(-len(samples) // _COLUMN_ROWS)]
    return _firsts(samples.swapaxes(0, 1), few.swapaxes(0, 1)).swapaxes(0, 1)


def _firsts(rows: NDArray[np.uint8], keys: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the rows whose key is that of no row before; all, where nine tenths are such."""
    digests = [hashlib.blake2b(key.tobytes(), digest_size=16).digest() for key in keys]
    places = {digest: place for place, digest in reversed(list(enumerate(digests)))}
    return rows if len(places) > 0.9 * len(rows) else rows[sorted(places.values())]


def _places(length: int) -> NDArray[np.int64]:
    """Return places along a side of windows that are spread evenly, or all."""
    if length <= _BANDS * _BAND:
        return np.arange(length)
    starts = np.linspace(0, length - _BAND, _BANDS).astype(np.int64)
    return (starts[:, None] + np.arange(_BAND)).reshape(-1)


def _webp_size(samples: NDArray[np.uint8], options: Mapping[str, int]) -> int:
    """Return the bytes of a lossless WebP file."""
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(samples)).convert("RGB")
    image.save(buffer, "WEBP", lossless=True, **options)
    return buffer.tell()
