"""One file on its way to a picture, or to a part of one: which tiles are decoded, what is shown."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from torch import Tensor

from licframe.bitstream.container import File
from licframe.codec import corrections
from licframe.codec.detail import DetailLayer, base_context
from licframe.errors import CorruptStreamError, WeightsMismatchError
from licframe.model import tiled_coding
from licframe.model.latent_model import LatentModel
from licframe.model.tiled_coding import Tiles
from licframe.model.windows import Box, moved, seen_by
from licframe.runtime.clock import Clock

if TYPE_CHECKING:
    from licframe.codec.latent import LatentCodec

_GREY = 0.5
_MOST_NAMED = 8
"""Most tiles that a sentence on damage names."""


class Decoding:
    """A file on its way to a picture.

    Args:
        damage: takes a sentence on each thing that cannot be had, which is then left out.
    """

    def __init__(
        self, codec: LatentCodec, file: File, clock: Clock, damage: list[str] | None = None
    ) -> None:
        self.codec, self.file, self.clock, self.damage = codec, file, clock, damage
        self.tiles = Tiles(file.header.height, file.header.width, file.tile)
        self.filters = corrections.of_file(file.streams, codec.find_filter, damage)

    def check(self) -> None:
        """Decode all symbols."""
        box = slice(0, self.tiles.height), slice(0, self.tiles.width)
        grey: set[int] = set()
        self._details(self._latent(box, box, grey), box, grey)

    def picture(self, box: Box) -> Tensor:
        """Return a box of the picture, ``(1, 3, rows, columns)`` in [0, 1]."""
        codec, wide = self.codec, self._seen_by_filters(box)
        grey: set[int] = set()
        y = self._latent(wide, box, grey)
        r = self._details(y, box, grey)
        with self.clock("synthesis"):
            image = codec.model.synthesised(y, self.file.header.latent_quality, wide).clamp_(0, 1)
        with self.clock("filter"):
            image = corrections.apply_all(image, self.filters)
        image = image[(..., *moved(box, (wide[0].start, wide[1].start)))]
        if r is not None and codec.detail is not None and self.file.detail is not None:
            with self.clock("detail"):
                image = codec.detail.added(image, r, self.file.detail.quality, box)
        return self._with_grey(image, box, grey) if grey else image

    def _with_grey(self, image: Tensor, box: Box, grey: Collection[int]) -> Tensor:
        """Return a box of the picture with grey in place of tiles that are lost: what is around them was seen there, too."""
        places = self.tiles.places(1)
        for number in grey:
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

    def _latent(self, wide: Box, box: Box, grey: set[int]) -> Tensor:
        """Return the decoded latent as far as it is needed.

        Args:
            wide: what is wanted of the picture before its filters; box: of the picture.
            grey: takes the numbers of tiles that are lost.
        """
        file, model, layer = self.file, self.codec.model, self.codec.detail
        numbers = self._touching(model, wide)
        if file.details and layer is not None:
            numbers |= self._touching(layer.model, box)
        grey |= numbers.intersection(file.lost)
        y = tiled_coding.decode(
            model,
            file.payloads,
            file.header.latent_quality,
            self.clock,
            self.tiles,
            numbers=sorted(numbers - grey),
            flags=file.header.revision >= 2,
            lost=self._into(grey),
        )
        if grey and self.damage is not None:
            self.damage.append(f"{self._named(grey)}: they are grey")
        return y

    def _into(self, numbers: set[int]) -> Callable[[int, CorruptStreamError], None] | None:
        """Return what collects tiles that cannot be decoded; None where that is an error."""
        forgiving = self.damage is not None and self.file.tile > 0
        return (lambda number, _: numbers.add(number)) if forgiving else None

    def _details(self, y: Tensor, box: Box, grey: Collection[int]) -> Tensor | None:
        """Return the decoded latent of the details above a latent, as far as a box needs it; None where there are none."""
        if not self.file.details:
            return None
        try:
            return self._decoded_details(y, box, grey)
        except (CorruptStreamError, WeightsMismatchError) as error:
            if self.damage is None:
                raise
            self.damage.append(f"its details are left out: {error}")
            return None

    def _decoded_details(self, y: Tensor, box: Box, grey: Collection[int]) -> Tensor:
        file, base = self.file, self.codec.model
        layer, quality = self._layer()
        places = self.tiles.places(base.transform.stride)
        numbers = self._touching(layer.model, box).difference(grey)
        bare = {number for number in numbers if file.details[number] is None}
        with self.clock("detail"):
            r = tiled_coding.decode(
                layer.model,
                [(b"", 0) if d is None else (d.payload, d.digest) for d in file.details],
                quality,
                self.clock,
                self.tiles,
                numbers=sorted(numbers - bare),
                given=lambda n: base_context(base, y[(..., *places[n])], file.header.latent_quality),
                lost=self._into(bare),
            )
        if bare and self.damage is not None:
            self.damage.append(f"{self._named(bare)} whole: their details are left out")
        return r

    def _layer(self) -> tuple[DetailLayer, int]:
        """Return what decodes the details, and their quality.

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
        return codec.detail, detail.quality

    def _named(self, numbers: Collection[int]) -> str:
        """Return the beginning of a sentence on damaged tiles."""
        first = ", ".join(str(number) for number in sorted(numbers)[:_MOST_NAMED])
        more = f" and {len(numbers) - _MOST_NAMED} more" * (len(numbers) > _MOST_NAMED)
        return f"of {len(self.file.payloads)} tiles, counted from 0, {first}{more} cannot be decoded"
