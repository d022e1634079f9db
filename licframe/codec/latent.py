"""The latent codec: a latent model with an identity and an encoder's settings."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, ClassVar

import attrs
import torch

import licframe
from licframe.bitstream import container
from licframe.codec import blocks, many, notes, scale
from licframe.codec.batching import in_batches, most_together, one_by_one
from licframe.codec.blocks import BlockEncoding
from licframe.codec.corrections import FindFilter
from licframe.codec.decoding import Decoding
from licframe.codec.detail import DetailLayer
from licframe.codec.encoding import Encoding
from licframe.codec.interface import Capabilities, Decoded, Encoded, ImageCodec
from licframe.codec.target import Target, search
from licframe.codec.trials import Trials
from licframe.errors import UsageError, WeightsMismatchError
from licframe.model.interfaces import PictureFilter, Refiner
from licframe.model.latent_model import LatentModel
from licframe.model.tiled_coding import Tiles
from licframe.picture import alpha
from licframe.picture.images import Picture
from licframe.picture.region import Region, box_of
from licframe.profile.profile import LatentProfile
from licframe.runtime.clock import Clock
from licframe.runtime.limits import DEFAULT, Limits


@attrs.define(eq=False, slots=False)
class LatentCodec(ImageCodec):
    """A latent model that writes and reads .lic files; ``licframe.load`` makes one from a profile.

    Attributes:
        profile: what it was made from.
        model: frozen; everything that decides symbols and pictures.
        refiner, picture_filter: what the encoder does with every picture.
        find_filter: finds the filters that other files ask for.
        fingerprint: of the weights that fix the symbols, 32 bytes.
        synthesis: fingerprint of the weights of another synthesis for the same files; empty for the model's own.
        detail: what codes what the latent leaves out; None for nothing.
    """

    profile: LatentProfile
    model: LatentModel
    refiner: Refiner
    picture_filter: PictureFilter
    find_filter: FindFilter
    fingerprint: bytes = bytes(32)
    synthesis: str = ""
    detail: DetailLayer | None = None
    version: str = attrs.field(init=False)

    qualities = (0, 15, 30, 40, 50, 60, 70, 80, 90, 100)
    capabilities: ClassVar[Capabilities] = Capabilities(weights=True)

    @version.default
    def _(self) -> str:
        text = f"licframe {licframe.__version__}, weights {self.fingerprint[:6].hex()}"
        if self.synthesis:
            text += f", synthesis {self.synthesis[:12]}"
        if self.detail is not None:
            text += f", detail {self.detail.fingerprint[:6].hex()}"
        if self.picture_filter.sends:
            text += f", {self.profile.picture_filter.described}"
        if self.refiner.searches:
            text += f", {self.profile.refiner.described}"
        return text

    @property
    def shows(self) -> bytes:
        """First bytes of the fingerprint of the weights whose pictures it shows."""
        return bytes.fromhex(self.synthesis)[:6] if self.synthesis else self.fingerprint[:6]

    # -- a picture to a file --------------------------------------------------------------------

    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        """Compress a picture; what was written is decoded again before it is returned."""
        return self._encoded([picture], target or Target())[0]

    def encode_many(self, pictures: Sequence[Picture], target: Target | None = None) -> list[Encoded]:
        """Compress pictures: at a quality those of equal size together, but for large ones. Files are those of ``encode``."""
        target = target or Target()
        if target.is_quality:
            _quality(target)  # what is wrong with it is of no picture

        def alike(picture: Picture) -> tuple[Hashable, int]:
            whole = target.is_quality and not self._side_of_tiles(*picture.size)
            return picture.size, most_together(self.model.device, *picture.size) if whole else 1

        return in_batches(pictures, lambda some: self._encoded(some, target), alike)

    @torch.inference_mode()
    def _encoded(self, pictures: Sequence[Picture], target: Target) -> list[Encoded]:
        """Compress pictures of one size; several only as a whole, and at a quality."""
        clock = Clock()
        encodings = [self._encoding(picture, clock, target) for picture in pictures]
        if len(encodings) > 1:
            many.code(encodings, _quality(target))
        made = [self._best(encoding, target) for encoding in encodings]
        if len(encodings) > 1:
            many.check(encodings, [trial for trial, *_ in made])
        else:
            encodings[0].check(made[0][0])
        return [
            Encoded(data, trial.quality, clock.shares(len(made)), trial.information, notes=said)
            for trial, data, said in made
        ]

    def _encoding(self, picture: Picture, clock: Clock, target: Target) -> Any:
        width, height = picture.size
        tiles = Tiles(height, width, self._side_of_tiles(width, height))
        if blocks.wanted(self, tiles):
            return BlockEncoding(self, picture, clock, tiles)
        return Encoding(self, picture, clock, tiles, filtering=target.fidelity is not None)

    def _best(self, encoding: Trials[Any], target: Target) -> tuple[Any, bytes, tuple[str, ...]]:
        """Return the trial that meets a target best, its file, and what is to be said of it."""
        width, height = encoding.picture.size
        quality = search(
            target,
            scale.SCALE,
            scale.DEFAULT,
            width * height,
            lambda q: len(encoding.packed(encoding.trial(scale.whole(q)))),
            lambda q: encoding.fidelity(encoding.trial(scale.whole(q)), target.fidelity),
        )
        plain = encoding.trial(scale.whole(quality))
        encoding.forget()
        filtered = plain if target.fidelity is not None else encoding.filtered(plain)
        for best in (encoding.refined(filtered), filtered, plain):
            data = encoding.packed(best)
            if target.met(len(data), width * height, partial(encoding.fidelity, best, target.fidelity)):
                break
        error, psnr = best.error or filtered.error, partial(encoding.fidelity, best)
        said = notes.of_synthesised(self.profile, encoding.picture, best.quality, error, psnr)
        return best, data, said

    def _side_of_tiles(self, width: int, height: int) -> int:
        """Return the side of the tiles that a picture is cut into, in pixels; 0 for none."""
        settings, models = self.profile.encoder, [self.model]
        side = settings.tile
        if self.detail is not None:
            models.append(self.detail.model)
        fits = side > 0 and not any(side % model.transform.stride for model in models)
        return side if fits and width * height > settings.tiled_above and max(width, height) > side else 0

    # -- a file to a picture --------------------------------------------------------------------

    def decode(
        self,
        data: bytes,
        limits: Limits = DEFAULT,
        *,
        best_effort: bool = False,
        region: Region | None = None,
    ) -> Decoded:
        """Decompress a .lic file, or a region of it: x, y, width and height in pixels.

        Of a file in tiles only those are decoded that the region depends on. With best effort damaged tiles are grey,
        damaged metadata, alpha, side streams or details are left out, and what a file that ends early lacks is predicted.
        """
        return self._decoded(data, limits, best_effort, None, region)

    @torch.inference_mode()
    def decode_many(self, files: Sequence[bytes], limits: Limits = DEFAULT) -> list[Decoded]:
        """Decompress .lic files, those of equal size and quality together, but for large ones."""

        def alike(file: container.File) -> tuple[Hashable, int]:
            size = file.header.width, file.header.height
            return many.kind_of(file), 1 if file.tile else most_together(self.model.device, *size)

        read = one_by_one(files, lambda data: self._own(container.read(data, limits)))
        return in_batches(read, lambda some: many.decode(self, some, limits), alike)

    def decode_region(
        self, data: bytes, region: Region, limits: Limits = DEFAULT, *, best_effort: bool = False
    ) -> Decoded:
        return self._decoded(data, limits, best_effort, None, region)

    def decode_preview(
        self,
        data: bytes,
        leave_out: int = 0,
        limits: Limits = DEFAULT,
        *,
        best_effort: bool = False,
        region: Region | None = None,
    ) -> Decoded:
        """Decompress the coarser levels of a picture; the file may end within its payload, or behind it.

        Elements of the latent that are not decoded are as predicted from those that are. Of an end that is missing it
        says so in ``Decoded.damage``: what is shown then has no digest to be checked against.

        Args:
            leave_out: how many levels to leave out, finest first: the details where there are any, then a grid of MSP each
                (or a pass of another context scheduler), but for the coarsest; 0 takes all that is there.
        """
        if leave_out < 0:
            raise UsageError(f"a preview leaves out {leave_out} levels; the least is 0")
        return self._decoded(data, limits, best_effort, leave_out, region)

    @torch.inference_mode()
    def _decoded(
        self,
        data: bytes,
        limits: Limits,
        best_effort: bool,
        leave_out: int | None,
        region: Region | None,
    ) -> Decoded:
        clock, tolerant = Clock(limits.seconds), best_effort or leave_out is not None
        with clock("file"):
            prefix = leave_out is not None
            file = self._own(container.read(data, limits, best_effort=best_effort, prefix=prefix))
            header, damage = file.header, list(file.damage)
            box = box_of(region, header.width, header.height)
            opacity = alpha.read(file, damage if tolerant else None)
            decoding = Decoding(self, file, clock, damage if tolerant else None, leave_out or 0)
            if file.tile and not decoding.by_block:
                limits.check(header.width, header.height, "the image in the file", tiled=False)
        pixels = decoding.pixels(box)
        opacity = None if opacity is None else opacity[box]
        return Decoded(Picture(pixels, file.metadata, opacity), clock.seconds, tuple(damage))

    @torch.inference_mode()
    def verify(self, data: bytes, limits: Limits = DEFAULT) -> None:
        """Decode all symbols, side streams and the alpha plane of a file, and check them; raises as ``decode``."""
        file = self._own(container.read(data, limits))
        alpha.read(file)
        Decoding(self, file, Clock(limits.seconds)).check()

    def _own(self, file: container.File) -> container.File:
        header = file.header
        if header.codec or header.fingerprint != self.fingerprint[:6]:
            raise WeightsMismatchError(
                f"the file needs {header.codec or 'weights ' + header.fingerprint.hex()} of profile {header.profile}; "
                f"profile {self.profile.name} holds {self.fingerprint[:6].hex()}"
            )
        return file


def _quality(target: Target) -> int:
    return scale.whole(scale.DEFAULT if target.quality is None else target.quality)
