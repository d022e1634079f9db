"""A latent in square tiles, each coded by itself: what coding takes of memory is that of a tile, and any is decoded alone.

The latent is the same as without tiles; its contexts see no further than their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
import numpy as np
import torch
from torch import Tensor

from licframe.errors import CorruptStreamError
from licframe.model import latent_coding
from licframe.model.latent_model import LatentModel
from licframe.model.windows import Box
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

    def touching(self, stride: int, box: Box) -> list[int]:
        """Return the numbers of the tiles that hold any of the elements of a box."""
        return [number for number, place in enumerate(self.places(stride)) if _meet(place, box)]


def _runs(length: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _meet(one: Box, other: Box) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


@attrs.frozen(eq=False)
class TiledLatent:
    """A coded latent.

    Attributes:
        quality: -28..100.
        y: the decoded latent (see ``CodedLatent.y``).
        streams: of each tile the range coder's bytes, and the digest of its symbols.
        information: bits of the symbols under the frozen tables.
    """

    quality: int
    y: Tensor
    streams: tuple[tuple[bytes, int], ...]
    information: float


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
    y = _nothing(latent.shape[1], tiles.shape(model.transform.stride))
    streams, information = [], 0.0
    for number, place in enumerate(tiles.places(model.transform.stride)):
        seen = None if given is None else given(number)
        part = latent[(..., *place)]
        coded = latent_coding.encode(model, part, quality, clock, given=seen, weight=weight)
        y[(..., *place)] = coded.y
        streams.append((coded.payload, coded.digest))
        information += coded.information
    return TiledLatent(quality, y, tuple(streams), information)


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
) -> Tensor:
    """Return the decoded latent of a picture (see ``CodedLatent.y``), 0 where tiles are not decoded.

    Args:
        streams: payload and digest of each tile.
        numbers: of the tiles that are wanted, in any order; all if left out.
        flags, given: see ``latent_coding.decode``.
        lost: is told of a tile that cannot be decoded, which is then left out.

    Raises:
        CorruptStreamError: a payload is damaged, or this machine computes differently.
    """
    stride = model.transform.stride
    places = tiles.places(stride)
    y = _nothing(model.transform.latent_channels, tiles.shape(stride))
    for number in range(len(places)) if numbers is None else numbers:
        payload, digest = streams[number]
        place = places[number]
        shape = [part.stop - part.start for part in place]
        seen = None if given is None else given(number)
        try:
            y[(..., *place)] = latent_coding.decode(
                model, payload, digest, quality, shape, clock, flags=flags, given=seen
            )
        except CorruptStreamError as error:
            if lost is None:
                raise
            lost(number, error)
    return y


def _nothing(channels: int, shape: Sequence[int]) -> Tensor:
    """Return zeros that take memory only where others replace them: whole elements lie together, so that tiles do, too."""
    return torch.from_numpy(np.zeros((1, *shape, channels))).permute(0, 3, 1, 2)
