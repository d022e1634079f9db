"""A latent in square tiles, each coded by itself: what coding takes of memory is that of a tile, and any is decoded alone.

The latent is the same as without tiles; its contexts see no further than their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from licframe.errors import CorruptStreamError
from licframe.model import latent_coding, windows
from licframe.model.latent_model import LatentModel
from licframe.model.windows import Box, moved
from licframe.runtime.clock import Clock

Given = Callable[[int], Mapping[str, Tensor]]
"""Returns what the context of a tile is given (see ``Known.given``), by its number."""


@attrs.frozen
class Tiles:
    """How a picture is cut.

    Attributes:
        height, width: of the picture, in pixels.
        side: of a tile, in pixels; 0 where one holds it all.
    """

    height: int
    width: int
    side: int = 0

    def places(self, stride: int) -> list[Box]:
        """Return rows and columns of each tile in a latent of a stride, in raster order.

        Raises:
            CorruptStreamError: tiles do not end between its elements.
        """
        if self.side % stride:
            raise CorruptStreamError(
                f"tiles of {self.side} pixels do not go with {stride} pixels an element: the file is not of these weights"
            )
        rows, columns = (_runs(length, self.side // stride or length) for length in self.shape(stride))
        return [(some, others) for some in rows for others in columns]

    def shape(self, stride: int) -> tuple[int, int]:
        """Return rows and columns of a latent of a stride."""
        return -(-self.height // stride), -(-self.width // stride)

    def blocks(self, box: Box | None = None) -> list[Box]:
        """Return squares of whole tiles, about as large as a window, in raster order; of a box what lies in it.

        Boxes are of pixels. Without tiles one block is all.
        """
        box = box or (slice(0, self.height), slice(0, self.width))
        if not self.side:
            return [box]
        step = self.side * max(1, windows.WINDOW // self.side)
        rows, columns = (_aligned(part, step) for part in box)
        return [(some, others) for some in rows for others in columns]

    def touching(self, stride: int, box: Box) -> list[int]:
        """Return the numbers of the tiles that hold any of the elements of a box."""
        return [number for number, place in enumerate(self.places(stride)) if _meet(place, box)]


def _runs(length: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _aligned(part: slice, step: int) -> list[slice]:
    """Return a run in pieces that end at multiples of a step."""
    ends = [*range(step * (part.start // step + 1), part.stop, step), part.stop]
    return [slice(start, stop) for start, stop in zip([part.start, *ends[:-1]], ends, strict=True)]


def _meet(one: Box, other: Box) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _holds(one: Box, other: Box) -> bool:
    return _overlap(one, other) == other


def _overlap(one: Box, other: Box) -> Box:
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return rows, columns


class Mosaic:
    """A latent of which some tiles are known.

    Attributes:
        parts: decoded tiles ``(1, C, h, w)`` by their number (see ``CodedLatent.y``).
    """

    def __init__(self, model: LatentModel, tiles: Tiles) -> None:
        stride = model.transform.stride
        self.shape, self.places = tiles.shape(stride), tiles.places(stride)
        self.parts: dict[int, Tensor] = {}
        self._channels = model.transform.latent_channels

    def cut(self, box: Box) -> Tensor:
        """Return a box of the latent, 0 where no tile is known."""
        for number, part in self.parts.items():
            if _holds(self.places[number], box):
                rows, columns = self.places[number]
                return part[(..., *moved(box, (rows.start, columns.start)))]
        rows, columns = box
        y = _nothing(self._channels, (rows.stop - rows.start, columns.stop - columns.start))
        for number, part in self.parts.items():
            place = self.places[number]
            if _meet(place, box):
                inside = _overlap(place, box)
                source = moved(inside, (place[0].start, place[1].start))
                y[(..., *moved(inside, (rows.start, columns.start)))] = part[(..., *source)]
        return y

    def whole(self) -> Tensor:
        """Return all of it."""
        return self.cut((slice(0, self.shape[0]), slice(0, self.shape[1])))


Coded = tuple[bytes, int, float]
"""Of a tile the range coder's bytes, the digest of its symbols, and their bits under the frozen tables."""


@attrs.frozen(eq=False)
class TiledStreams:
    """What codes a latent.

    Attributes:
        quality: -28..100.
        streams: of each tile the range coder's bytes, and the digest of its symbols.
        information: bits of the symbols under the frozen tables.
    """

    quality: int
    streams: tuple[tuple[bytes, int], ...]
    information: float


@attrs.frozen(eq=False)
class TiledLatent(TiledStreams):
    """A coded latent.

    Attributes:
        y: the decoded latent (see ``CodedLatent.y``).
    """

    y: Tensor


def encode(
    model: LatentModel,
    latent: Tensor,
    quality: int,
    clock: Clock,
    tiles: Tiles,
    *,
    given: Given | None = None,
    weight: float | None = None,
) -> TiledLatent:
    """Code a latent ``(1, C, h, w)`` given in coefficient units; see ``latent_coding.encode``."""
    mosaic = Mosaic(model, tiles)
    parts = {number: latent[(..., *place)] for number, place in enumerate(mosaic.places)}
    coded = encode_tiles(model, parts, quality, clock, given=given, weight=weight, decoded=mosaic.parts)
    streams = together(quality, coded)
    return TiledLatent(quality, streams.streams, streams.information, mosaic.whole())


def encode_tiles(
    model: LatentModel,
    latents: Mapping[int, Tensor],
    quality: int,
    clock: Clock,
    *,
    given: Given | None = None,
    weight: float | None = None,
    decoded: dict[int, Tensor] | None = None,
) -> dict[int, Coded]:
    """Code some tiles.

    Args:
        latents: of each tile, by its number; decoded: takes what a decoder has of each.
        given, weight: see ``latent_coding.encode``.
    """

    def code(number: int) -> Coded:
        seen = None if given is None else given(number)
        made = latent_coding.encode(model, latents[number], quality, clock, given=seen, weight=weight)
        if decoded is not None:
            decoded[number] = made.y
        return made.payload, made.digest, made.information

    return {number: code(number) for number in latents}


def together(quality: int, coded: Mapping[int, Coded]) -> TiledStreams:
    """Return what codes a latent of which each tile is coded."""
    tiles = [coded[number] for number in sorted(coded)]
    streams = tuple((payload, digest) for payload, digest, _ in tiles)
    return TiledStreams(quality, streams, sum(information for *_, information in tiles))


def decode(
    model: LatentModel,
    streams: Sequence[tuple[bytes, int]],
    quality: int,
    clock: Clock,
    tiles: Tiles,
    *,
    numbers: Iterable[int] | None = None,
    flags: bool = True,
    given: Given | None = None,
    lost: Callable[[int, CorruptStreamError], None] | None = None,
) -> dict[int, Tensor]:
    """Return the decoded tiles of a picture (see ``Mosaic.parts``).

    Args:
        streams: payload and digest of each tile.
        numbers: of the tiles that are wanted, in any order; all if left out.
        flags, given: see ``latent_coding.decode``.
        lost: is told of a tile that cannot be decoded, which is then left out.

    Raises:
        CorruptStreamError: a payload is damaged, or this machine computes differently.
    """
    places = tiles.places(model.transform.stride)
    parts = {}
    for number in range(len(places)) if numbers is None else numbers:
        payload, digest = streams[number]
        shape = [part.stop - part.start for part in places[number]]
        seen = None if given is None else given(number)
        try:
            parts[number] = latent_coding.decode(
                model, payload, digest, quality, shape, clock, flags=flags, given=seen
            )
        except CorruptStreamError as error:
            if lost is None:
                raise
            lost(number, error)
    return parts


def _nothing(channels: int, shape: Sequence[int]) -> Tensor:
    """Return zeros whose elements lie whole in memory."""
    return torch.zeros(1, *shape, channels, dtype=torch.float64).permute(0, 3, 1, 2)
