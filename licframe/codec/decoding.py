"""One file on its way to a picture, or to a part of one: which tiles are decoded, what is shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from licframe.bitstream.container import File
from licframe.codec import corrections
from licframe.codec.detail import DetailLayer, base_context
from licframe.errors import CorruptStreamError, WeightsMismatchError
from licframe.model import previews, tiled_coding, windows
from licframe.model.latent_model import LatentModel
from licframe.model.previews import Preview
from licframe.model.tiled_coding import Given, Mosaic, Tiles
from licframe.model.windows import Box, moved, seen_by
from licframe.picture.tensors import pixels_of
from licframe.runtime.clock import Clock

if TYPE_CHECKING:
    from licframe.codec.latent import LatentCodec

Lost = Callable[[int, CorruptStreamError], None]
"""Is told of a tile that cannot be decoded."""
_GREY = 0.5
_MOST_NAMED = 8
"""Most tiles that a sentence on damage names."""


class Decoding:
    """A file on its way to a picture, block by block where it is large.

    Args:
        damage: takes a sentence on each thing that cannot be had, which is then left out.
        leave_out: how many of the finest levels are not decoded (see ``LatentCodec.decode_preview``).
    """

    def __init__(
        self,
        codec: LatentCodec,
        file: File,
        clock: Clock,
        damage: list[str] | None = None,
        leave_out: int = 0,
    ) -> None:
        if leave_out and file.header.details:
            file, leave_out = attrs.evolve(file, details=()), leave_out - 1
        self.codec, self.file, self.clock, self.damage = codec, file, clock, damage
        self._leave_out = leave_out
        self.tiles = Tiles(file.header.height, file.header.width, file.tile)
        self.filters = corrections.of_file(file.streams, codec.find_filter, damage)
        self._base = Mosaic(codec.model, self.tiles)
        self._grey = set(file.lost)
        self._layer = self._found_layer() if file.details else None
        self._details = None if self._layer is None else Mosaic(self._layer.model, self.tiles)
        self._bare: set[int] = set()
        self._cut: tuple[Preview, int] | None = None

    def take(self, y: Tensor, r: Tensor | None) -> None:
        """Take the latents of a file without tiles (see ``CodedLatent.y``), decoded with those of others."""
        self._base.parts[0] = y
        if self._details is not None and r is not None:
            self._details.parts[0] = r

    def check(self) -> None:
        """Decode all symbols."""
        for number in range(len(self._base.places)):
            self._know({number}, {number})
            self._forget({number}, {number})
        self._say(set(range(len(self._base.places))))

    def pixels(self, box: Box) -> NDArray[Any]:
        """Return the samples of a box of the picture, ``(rows, columns)`` or ``(rows, columns, 3)``."""
        blocks, header = self._blocks(box), self.file.header
        pixels: NDArray[Any] | None = None
        for block in self.walk(blocks):
            part = pixels_of(self.picture(block), header.mode, header.depth)
            if pixels is None and block != box:
                sides = [side.stop - side.start for side in box]
                pixels = np.empty((*sides, *part.shape[2:]), part.dtype)
            if pixels is None:
                pixels = part
            else:
                pixels[moved(block, (box[0].start, box[1].start))] = part
        self._say({n for block in blocks for n in self._needs(block)[0]})
        assert pixels is not None  # a box holds a pixel
        return pixels

    def walk(self, blocks: Sequence[Box]) -> Iterator[Box]:
        """Yield boxes of the picture, and forget after each what only those before needed."""
        needs = [self._needs(block) for block in blocks]
        last = [{n: k for k, need in enumerate(needs) for n in need[part]} for part in (0, 1)]
        for k, block in enumerate(blocks):
            yield block
            self._forget(*({n for n in needs[k][part] if last[part][n] == k} for part in (0, 1)))

    def picture(self, box: Box) -> Tensor:
        """Return a box of the picture, ``(1, 3, rows, columns)`` in [0, 1]."""
        model, wide = self.codec.model, self._seen_by_filters(box)
        self._know(*self._needs(box))
        rows, columns = seen_by(model.transform, wide, self._base.shape)
        with self.clock("synthesis"):
            y = self._base.cut((rows, columns))
            corner = rows.start, columns.start
            image = model.synthesised(y, self.file.header.latent_quality, wide, corner).clamp_(0, 1)
        with self.clock("filter"):
            image = corrections.apply_all(image, self.filters)
        image = image[(..., *moved(box, (wide[0].start, wide[1].start)))]
        layer, detail = self._layer, self.file.detail
        if layer is not None and self._details is not None and detail is not None:
            with self.clock("detail"):
                rows, columns = seen_by(layer.model.transform, box, self._details.shape)
                r = self._details.cut((rows, columns))
                image = layer.added(image, r, detail.quality, box, (rows.start, columns.start))
        return self._with_grey(image, box)

    def latent(self, number: int) -> Tensor:
        """Return the base's latent of a tile (see ``CodedLatent.y``); of one that is lost zeros."""
        self._know({number}, ())
        return self._base.cut(self._base.places[number])

    @property
    def by_block(self) -> bool:
        """Whether blocks can be computed alone: of each part it is known how far it sees."""
        models = [self.codec.model] + ([] if self._layer is None else [self._layer.model])
        halos = [model.transform.synthesis_halo for model in models] + [
            part.halo for part, _ in self.filters
        ]
        return None not in halos

    def _blocks(self, box: Box) -> list[Box]:
        """Return what is computed together: all, or parts of a large picture."""
        rows, columns = box
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return self.tiles.blocks(box) if area > windows.LARGEST_WHOLE and self.by_block else [box]

    def _needs(self, box: Box) -> tuple[set[int], set[int]]:
        """Return the numbers of the tiles of the base and of the details that a box of the picture depends on."""
        base = self._touching(self.codec.model, self._seen_by_filters(box))
        details = set() if self._layer is None else self._touching(self._layer.model, box)
        return base | details, details

    def _forget(self, base: Iterable[int], details: Iterable[int]) -> None:
        for mosaic, numbers in ((self._base, base), (self._details, details)):
            if mosaic is not None:
                for number in numbers:
                    mosaic.parts.pop(number, None)

    def _with_grey(self, image: Tensor, box: Box) -> Tensor:
        """Return a box of the picture with grey in place of tiles that are lost: what is around them was seen there, too."""
        places = self.tiles.places(1) if self._grey else []
        for number in self._grey:
            place = moved(places[number], (box[0].start, box[1].start))
            rows, columns = (slice(max(0, part.start), max(0, part.stop)) for part in place)
            image[..., rows, columns] = _GREY
        return image

    def _seen_by_filters(self, box: Box) -> Box:
        """Return what the filters need of the picture before them: all of it where one does not say."""
        sides = self.tiles.height, self.tiles.width
        halo = sum(max(sides) if part.halo is None else part.halo for part, _ in self.filters)
        rows, columns = (
            slice(max(0, part.start - halo), min(side, part.stop + halo))
            for part, side in zip(box, sides, strict=True)
        )
        return rows, columns

    def _touching(self, model: LatentModel, box: Box) -> set[int]:
        """Return the numbers of the tiles that a box of a model's picture depends on."""
        stride = model.transform.stride
        seen = seen_by(model.transform, box, self.tiles.shape(stride))
        return set(self.tiles.touching(stride, seen))

    def _know(self, base: Collection[int], details: Collection[int]) -> None:
        """Decode tiles that are not known yet."""
        file = self.file
        missing = set(base) - self._base.parts.keys() - self._grey
        quality, lost = file.header.latent_quality, self._into(self._grey)
        self._base.parts |= self._decoded(
            self.codec.model, file.payloads, quality, missing, lost, cut=file.cut
        )
        if self._layer is not None and self._details is not None:
            missing = set(details) - self._details.parts.keys() - self._grey - self._bare
            self._details.parts |= self._decoded_details(self._layer, missing)

    def _decoded_details(self, layer: DetailLayer, numbers: set[int]) -> dict[int, Tensor]:
        file, base, detail = self.file, self.codec.model, self.file.detail
        bare = {number for number in numbers if file.details[number] is None}
        self._bare |= bare
        if detail is None or numbers == bare:
            return {}
        try:
            with self.clock("detail"):
                return self._decoded(
                    layer.model,
                    [(b"", 0) if d is None else (d.payload, d.digest) for d in file.details],
                    detail.quality,
                    numbers - bare,
                    self._into(self._bare),
                    cut=file.cut_detail,
                    given=lambda n: base_context(base, self._base.parts[n], file.header.latent_quality),
                )
        except CorruptStreamError as error:
            if self.damage is None:
                raise
            self.damage.append(f"its details are left out: {error}")
            self._layer = self._details = None
            return {}

    def _decoded(
        self,
        model: LatentModel,
        streams: Sequence[tuple[bytes, int]],
        quality: int,
        numbers: set[int],
        lost: Lost | None,
        *,
        cut: int | None,
        given: Given | None = None,
    ) -> dict[int, Tensor]:
        """Return decoded tiles of a model, in part where not all levels are wanted, or there.

        Args:
            streams, lost, given: see ``tiled_coding.decode``; cut: number of the tile whose payload ends early.
        """
        partial = numbers if self._leave_out else numbers & {cut}
        flags = self.file.header.revision >= 2
        parts = tiled_coding.decode(
            model,
            streams,
            quality,
            self.clock,
            self.tiles,
            numbers=sorted(numbers - partial),
            flags=flags,
            given=given,
            lost=lost,
        )
        for number in sorted(partial):
            place = self.tiles.places(model.transform.stride)[number]
            try:
                preview = previews.decode(
                    model,
                    streams[number][0],
                    quality,
                    [part.stop - part.start for part in place],
                    self.clock,
                    leave_out=self._leave_out,
                    cut=number == cut,
                    flags=flags,
                    given=None if given is None else given(number),
                )
            except CorruptStreamError as error:
                if lost is None:
                    raise
                lost(number, error)
                continue
            parts[number] = preview.y
            if number == cut:
                self._cut = preview, number
        return parts

    def _into(self, numbers: set[int]) -> Lost | None:
        """Return what collects tiles that cannot be decoded; None where that is an error."""
        forgiving = self.damage is not None and self.file.tile > 0
        return (lambda number, _: numbers.add(number)) if forgiving else None

    def _say(self, numbers: set[int]) -> None:
        """Say which of some tiles were lost, or are there in part."""
        if self.damage is None:
            return
        if self._cut is not None:
            preview, number = self._cut
            what = "payload" if self.file.cut is not None else "details"
            where = f" of tile {number}" if self.file.tile else ""
            self.damage.append(
                f"the file ends within the {what}{where}: {preview.decoded} of {preview.steps} steps are decoded, which no "
                "digest can confirm, and the others predicted"
            )
        if grey := self._grey & numbers:
            self.damage.append(f"{self._named(grey)}: they are grey")
        if bare := self._bare & numbers - self._grey:
            self.damage.append(f"{self._named(bare)} whole: their details are left out")

    def _found_layer(self) -> DetailLayer | None:
        """Return what decodes the details; None where that is impossible, and said."""
        try:
            return self._checked_layer()
        except (CorruptStreamError, WeightsMismatchError) as error:
            if self.damage is None:
                raise
            self.damage.append(f"its details are left out: {error}")
            return None

    def _checked_layer(self) -> DetailLayer:
        """Return what decodes the details.

        Raises:
            WeightsMismatchError: they are of another layer, or above another picture. CorruptStreamError: all are lost.
        """
        codec, detail = self.codec, self.file.detail
        if detail is None:
            raise CorruptStreamError("none of them is sound")
        if codec.detail is None or detail.fingerprint != codec.detail.fingerprint[:6]:
            raise WeightsMismatchError(
                f"the file's details need weights {detail.fingerprint.hex()} of a detail layer; profile "
                f"{codec.profile.name} has {codec.detail.fingerprint[:6].hex() if codec.detail else 'none'}"
            )
        if detail.synthesis != codec.shows:
            raise WeightsMismatchError(
                f"the file's details belong to pictures of weights {detail.synthesis.hex()}, not to those of "
                f"{codec.shows.hex()}; decode it with the profile {self.file.header.profile} and its own decoder"
            )
        return codec.detail

    def _named(self, numbers: Collection[int]) -> str:
        """Return the beginning of a sentence on damaged tiles."""
        first = ", ".join(str(number) for number in sorted(numbers)[:_MOST_NAMED])
        more = f" and {len(numbers) - _MOST_NAMED} more" * (len(numbers) > _MOST_NAMED)
        return f"of {len(self.file.payloads)} tiles, counted from 0, {first}{more} cannot be decoded"
