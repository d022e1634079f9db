"""A picture on its way to a file, as a whole: coded, filtered, refined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor

from licframe.codec import corrections, scale
from licframe.codec.detail import base_context, quality_of_step
from licframe.codec.trials import DIFFERS, Trial, Trials
from licframe.errors import CorruptStreamError
from licframe.model import tiled_coding
from licframe.model.distortions import DISTORTIONS, Distortion, squared_error
from licframe.model.gains import error_weight
from licframe.model.latent_model import LatentModel
from licframe.model.refinement import LatentObjective
from licframe.model.tiled_coding import Given, Mosaic, TiledLatent, Tiles
from licframe.picture.images import Picture
from licframe.picture.tensors import pixels_of, tensor_of
from licframe.profile.profile import SMALLEST_PATCH
from licframe.runtime.clock import Clock

if TYPE_CHECKING:
    from licframe.codec.latent import LatentCodec

LARGEST_FILTERED = 2**25
"""Pixels of a picture that a filter is fitted to: fitting takes memory in proportion."""

_LARGEST_SEEN = 2**23
"""Pixels of a picture whose distortion, where it is more than the squared error, is measured: as above."""


@attrs.frozen(eq=False, kw_only=True)
class WholeTrial(Trial):
    """A picture coded at a quality, with what can be changed of it.

    Attributes:
        latent: ``(1, C, h, w)`` of the analysis or of a refiner; coded, detail: with their decoded latents.
    """

    latent: Tensor
    coded: TiledLatent
    detail: TiledLatent | None = None


class Encoding(Trials[WholeTrial]):
    """Trials of a picture that is worked on as a whole.

    Attributes:
        bases: by latent quality, the latent of the analysis, and it coded; details: by quality, what codes them. A trial finds
            them there, or adds them.
    """

    def __init__(
        self, codec: LatentCodec, picture: Picture, clock: Clock, tiles: Tiles, *, filtering: bool = False
    ) -> None:
        super().__init__(codec, picture, clock, tiles, filtering=filtering)
        with clock("analysis"):
            self.image = tensor_of(picture).to(codec.model.device)
        self.bases: dict[int, tuple[Tensor, TiledLatent]] = {}
        self.details: dict[int, TiledLatent] = {}

    def forget(self) -> None:
        super().forget()
        self.bases.clear()
        self.details.clear()

    def _coded(self, quality: int, setting: scale.Setting) -> WholeTrial:
        layer = self.codec.detail
        if setting.latent not in self.bases:
            latent = self.analysed(setting.latent)
            coded = tiled_coding.encode(self.codec.model, latent, setting.latent, self.clock, self.tiles)
            self.bases[setting.latent] = latent, coded
        trial = self.base(quality, setting)
        if setting.step is None or layer is None:
            return trial
        if quality not in self.details:
            difference, given = self.left_out(trial), self._below(trial.coded.y, setting.latent)
            at, weight = quality_of_step(setting.step), error_weight(scale.place(quality))
            self.details[quality] = layer.encode(difference, given, at, self.clock, self.tiles, weight)
        return attrs.evolve(trial, detail=self.details[quality])

    def base(self, quality: int, setting: scale.Setting) -> WholeTrial:
        """Return the trial of a setting whose base is there, without details."""
        latent, coded = self.bases[setting.latent]
        return WholeTrial(quality=quality, latent=latent, coded=coded)

    def analysed(self, quality: int) -> Tensor:
        """Return the latent of the analysis ``(1, C, h, w)``."""
        with self.clock("analysis"):
            return self.codec.model.analyse(self.image, quality)

    def left_out(self, trial: WholeTrial) -> Tensor:
        """Return what a trial without details leaves out of the picture, ``(1, 3, H, W)``."""
        with self.clock("synthesis"):
            difference = self.image - self._shown(trial)
            if "RGB" not in self.picture.mode:  # of what a grey picture shows of it
                difference = difference.mean(1, keepdim=True).expand(-1, 3, -1, -1)
            return difference

    def _below(self, y: Tensor, quality: int) -> Given:
        """Return what the context of the details of a tile sees of the base's latent."""
        model = self.codec.model
        places = self.tiles.places(model.transform.stride)
        return lambda number: base_context(model, y[(..., *places[number])], quality)

    def _distortion_of(self, trial: WholeTrial) -> float:
        return float(self._distortion()(self._shown(trial), self.image))

    def filtered(self, trial: WholeTrial) -> WholeTrial:
        """Fit the filter that is worth its bits, or keep the one that is there; of huge pictures and above details none is."""
        filtering = self.codec.picture_filter
        if not filtering.sends or trial.detail is not None or self._pixels > LARGEST_FILTERED:
            return trial
        decoded = self._shown(attrs.evolve(trial, correction=None))
        with self.clock("filter"):
            weight = error_weight(trial.coded.quality)
            found = corrections.fit(filtering, decoded, self.image, weight, trial.correction)
            error = float((decoded - self.image).square().mean())
        return attrs.evolve(trial, correction=found, error=error)

    def refined(self, trial: WholeTrial) -> WholeTrial:
        """Let the refiner search for a cheaper latent of this picture, and fit the filter again.

        It works on the whole of a latent: of one in tiles it would take too much memory.
        """
        codec = self.codec
        if not codec.refiner.searches or trial.detail is not None or self.tiles.side:
            return trial
        quality = trial.coded.quality
        correction = None if trial.correction is None else (codec.picture_filter, trial.correction)
        # A refiner may take gradients, which tensors of inference mode do not have.
        with self.clock("refinement"), torch.inference_mode(False), torch.enable_grad():
            objective = LatentObjective(
                codec.model,
                self.image.clone(),
                trial.latent.clone(),
                quality,
                correction,
                self._distortion(),
            )
            latent = codec.refiner.refine(objective).detach()
            if torch.equal(latent, objective.analysed):
                return trial
            coded = tiled_coding.encode(codec.model, latent, quality, Clock(), self.tiles)
        return self.filtered(attrs.evolve(trial, latent=latent, coded=coded))

    def _distortion(self) -> Distortion:
        """Return what the weights were trained for; the squared error of pictures too small for that, or too large for memory."""
        name = self.codec.profile.training.distortion
        fits = min(self.picture.size) >= SMALLEST_PATCH[name] and self._pixels <= _LARGEST_SEEN
        return DISTORTIONS[name] if fits else squared_error

    def _shown(self, trial: WholeTrial) -> Tensor:
        """Return the picture ``(1, 3, H, W)`` in [0, 1] that a decoder has."""
        codec, coded = self.codec, trial.coded
        shown = codec.model.synthesise(coded.y, coded.quality, *self.image.shape[-2:])
        if trial.correction is not None:
            shown = codec.picture_filter.apply(shown, trial.correction)
        if trial.detail is not None and codec.detail is not None:
            shown = codec.detail.added(shown, trial.detail.y, trial.detail.quality)
        return shown

    def fidelity(self, trial: WholeTrial, metric: str | None = None) -> float:
        """Return how good the decoded picture is, by a method of ``Picture``; its PSNR if none is named."""
        picture = self.picture
        pixels = pixels_of(self._shown(trial), picture.mode, picture.depth)
        return picture.fidelity(metric or "psnr", pixels)

    def check(self, trial: WholeTrial) -> None:
        """Decode what is to be written, and compare.

        Raises:
            CorruptStreamError: it differs.
        """
        codec, coded, detail = self.codec, trial.coded, trial.detail
        with self.clock("check"):
            y = self._decoded(codec.model, coded)
            sound = torch.equal(y, coded.y)
            if detail is not None and codec.detail is not None:
                r = self._decoded(codec.detail.model, detail, self._below(y, coded.quality))
                sound = sound and torch.equal(r, detail.y)
            if not sound:
                raise CorruptStreamError(DIFFERS)

    def _decoded(self, model: LatentModel, coded: TiledLatent, given: Given | None = None) -> Tensor:
        mosaic = Mosaic(model, self.tiles)
        mosaic.parts = tiled_coding.decode(
            model, coded.streams, coded.quality, Clock(), self.tiles, given=given
        )
        return mosaic.whole()
