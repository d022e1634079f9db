"""A large picture on its way to a file, block by block: what that takes of memory is that of a block, and of the samples.

Blocks hold whole tiles. The refiner and the picture filter work on whole pictures, and are left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from licframe.codec import scale
from licframe.codec.decoding import Decoding
from licframe.codec.detail import base_context, in_steps, quality_of_step
from licframe.codec.trials import DIFFERS, Trial, Trials
from licframe.errors import CorruptStreamError
from licframe.model import tiled_coding
from licframe.model.distortions import squared_error
from licframe.model.gains import error_weight
from licframe.model.latent_model import LatentModel
from licframe.model.tiled_coding import Coded, TiledStreams, Tiles
from licframe.model.windows import Box, Crop, moved
from licframe.picture.images import Picture
from licframe.picture.tensors import tensor_of
from licframe.runtime.clock import Clock

if TYPE_CHECKING:
    from licframe.codec.latent import LatentCodec

LARGEST_AT_ONCE = 2**24
"""Pixels of a picture that is worked on as a whole, where it is cut into tiles."""


def wanted(codec: LatentCodec, tiles: Tiles) -> bool:
    """Say whether a picture in such tiles is coded block by block."""
    models = [codec.model] + ([] if codec.detail is None else [codec.detail.model])
    known = all(
        halo is not None
        for model in models
        for halo in (model.transform.analysis_halo, model.transform.synthesis_halo)
    )
    return known and tiles.side > 0 and tiles.height * tiles.width > LARGEST_AT_ONCE


class BlockEncoding(Trials[Trial]):
    """Trials of a large picture; no latent of it is kept."""

    def __init__(self, codec: LatentCodec, picture: Picture, clock: Clock, tiles: Tiles) -> None:
        super().__init__(codec, picture, clock, tiles)
        self._bases: dict[int, TiledStreams] = {}
        # what is transparent is filled in from all around
        self._filled = None if picture.alpha is None else tensor_of(picture)

    def forget(self) -> None:
        super().forget()
        self._bases.clear()

    def _crop(self, box: Box) -> Tensor:
        if self._filled is not None:
            image = self._filled[(..., *box)]
        else:
            image = tensor_of(Picture(self.picture.pixels[box]))
        return image.to(self.codec.model.device)

    def _coded(self, quality: int, setting: scale.Setting) -> Trial:
        if setting.latent not in self._bases:
            self._bases[setting.latent] = self._base(setting.latent)
        trial = Trial(quality=quality, coded=self._bases[setting.latent])
        if setting.step is None or self.codec.detail is None:
            return trial
        at, weight = quality_of_step(setting.step), error_weight(scale.place(quality))
        return Trial(quality=quality, coded=trial.coded, detail=self._details(trial, at, weight))

    def _base(self, quality: int) -> TiledStreams:
        coded: dict[int, Coded] = {}
        for block in self.tiles.blocks():
            with self.clock("analysis"):
                tiles = self._analysed(self.codec.model, self._crop, quality, block)
            coded |= tiled_coding.encode_tiles(self.codec.model, tiles, quality, self.clock)
        return tiled_coding.together(quality, coded)

    def _details(self, trial: Trial, quality: int, weight: float) -> TiledStreams:
        """Code what a decoder of the base leaves out."""
        layer, model = self.codec.detail, self.codec.model
        assert layer is not None
        shown = self._decoding(trial)

        def difference(box: Box) -> Tensor:
            left = self._crop(box) - shown.picture(box)
            # of what a grey picture shows of it
            return left if "RGB" in self.picture.mode else left.mean(1, keepdim=True).expand_as(left)

        coded: dict[int, Coded] = {}
        for block in shown.walk(self.tiles.blocks()):
            tiles = self._analysed(layer.model, difference, quality, block)
            with self.clock("detail"):
                coded |= tiled_coding.encode_tiles(
                    layer.model,
                    tiles,
                    quality,
                    Clock(),
                    given=lambda n: base_context(model, shown.latent(n), trial.coded.quality),
                    weight=in_steps(weight, quality),
                )
        return tiled_coding.together(quality, coded)

    def _analysed(self, model: LatentModel, crop: Crop, quality: int, block: Box) -> dict[int, Tensor]:
        """Return the latent of each tile of a block, by its number."""
        stride, size = model.transform.stride, (self.tiles.height, self.tiles.width)
        rows, columns = (slice(part.start // stride, -(-part.stop // stride)) for part in block)
        latent = model.analyse_box(crop, quality, size, (rows, columns))
        places = self.tiles.places(stride)
        return {
            number: latent[(..., *moved(places[number], (rows.start, columns.start)))]
            for number in self.tiles.touching(1, block)
        }

    def _decoding(self, trial: Trial) -> Decoding:
        return Decoding(self.codec, self.file(trial), self.clock)

    def _distortion_of(self, trial: Trial) -> float:
        shown, blocks, total = self._decoding(trial), self.tiles.blocks(), 0.0
        for block in shown.walk(blocks):
            image = self._crop(block)
            total += float(squared_error(shown.picture(block), image)) * math.prod(image.shape[-2:])
        return total / self._pixels

    def fidelity(self, trial: Trial, metric: str | None = None) -> float:
        box = slice(0, self.tiles.height), slice(0, self.tiles.width)
        return self.picture.fidelity(metric or "psnr", self._decoding(trial).pixels(box))

    def check(self, trial: Trial) -> None:
        with self.clock("check"):
            try:
                Decoding(self.codec, self.file(trial), Clock()).check()
            except CorruptStreamError as error:
                raise CorruptStreamError(DIFFERS) from error
