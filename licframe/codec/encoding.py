"""One picture on its way to a file: what it is coded at, filtered, refined, packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor

from licframe.bitstream import container
from licframe.codec import corrections, scale
from licframe.codec.detail import base_context, quality_of_step
from licframe.errors import CorruptStreamError
from licframe.model import tiled_coding
from licframe.model.distortions import DISTORTIONS, Distortion, squared_error
from licframe.model.gains import error_weight
from licframe.model.refinement import LatentObjective
from licframe.model.tiled_coding import Given, TiledLatent, Tiles
from licframe.picture import alpha
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


@attrs.frozen(eq=False)
class Trial:
    """A picture coded at a quality.

    Attributes:
        quality: what was asked for.
        latent: ``(1, C, h, w)`` of the analysis or of a refiner; coded: the same, coded.
        detail: what a layer adds; None for nothing. correction: bytes of the filter that mends the picture.
        error: mean squared error before the filter, samples in [0, 1]; None where it is not known.
    """

    quality: int
    latent: Tensor
    coded: TiledLatent
    detail: TiledLatent | None = None
    correction: bytes | None = None
    error: float | None = None

    @property
    def information(self) -> float:
        """Bits of all symbols under the frozen tables."""
        return self.coded.information + (0.0 if self.detail is None else self.detail.information)


class Encoding:
    """Trials of one picture, none of them made twice; of one in tiles the last alone is kept.

    Args:
        filtering: mend the picture of every trial, for a search that looks at pictures.
    """

    def __init__(self, codec: LatentCodec, picture: Picture, clock: Clock, *, filtering: bool) -> None:
        self.codec, self.picture, self.clock, self.filtering = codec, picture, clock, filtering
        width, height = picture.size
        self.tiles = Tiles(height, width, _side_of_tiles(codec, width, height))
        self._pixels = width * height
        with clock("file"):
            self.opacity = None if picture.alpha is None else alpha.encode(picture.alpha)
        with clock("analysis"):
            self.image = tensor_of(picture).to(codec.model.device)
        self._trials: dict[int, Trial] = {}
        self._bases: dict[int, tuple[Tensor, TiledLatent]] = {}

    def trial(self, quality: int) -> Trial:
        """Return the picture coded at a quality: of what the scale offers, the cheapest by rate and distortion."""
        if quality not in self._trials:
            if self.tiles.side:  # a search would keep ten times what one takes
                self.forget()
            offered = scale.settings(quality, self._layering())
            made = [self._coded(quality, setting) for setting in offered]
            best = made[0] if len(made) == 1 else min(made, key=self._cost)
            self._trials[quality] = self.filtered(best) if self.filtering else best
        return self._trials[quality]

    def forget(self) -> None:
        """Free the memory of all trials."""
        self._trials.clear()
        self._bases.clear()

    def _coded(self, quality: int, setting: scale.Setting) -> Trial:
        model, layer = self.codec.model, self.codec.detail
        if setting.latent not in self._bases:
            with self.clock("analysis"):
                latent = model.analyse(self.image, setting.latent)
            coded = tiled_coding.encode(model, latent, setting.latent, self.clock, self.tiles)
            self._bases[setting.latent] = latent, coded
        trial = Trial(quality, *self._bases[setting.latent])
        if setting.step is None or layer is None:
            return trial
        with self.clock("synthesis"):
            difference = self.image - self._shown(trial)
            if "RGB" not in self.picture.mode:  # of what a grey picture shows of it
                difference = difference.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        weight = error_weight(scale.place(quality))
        given, at = self._below(trial.coded.y, setting.latent), quality_of_step(setting.step)
        detail = layer.encode(difference, given, at, self.clock, self.tiles, weight)
        return attrs.evolve(trial, detail=detail)

    def _below(self, y: Tensor, quality: int) -> Given:
        """Return what the context of the details of a tile sees of the base's latent."""
        model = self.codec.model
        places = self.tiles.places(model.transform.stride)
        return lambda number: base_context(model, y[(..., *places[number])], quality)

    def _cost(self, trial: Trial) -> float:
        distortion = float(self._distortion()(self._shown(trial), self.image))
        return trial.information + scale.lambda_at(trial.quality) * self._pixels * distortion

    def _layering(self) -> scale.Layering | None:
        if self.codec.detail is None:
            return None
        return scale.LEAST_ERROR if self.codec.profile.training.distortion == "mse" else scale.LOOKS_BEST

    def filtered(self, trial: Trial) -> Trial:
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

    def refined(self, trial: Trial) -> Trial:
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

    def _shown(self, trial: Trial) -> Tensor:
        """Return the picture ``(1, 3, H, W)`` in [0, 1] that a decoder has."""
        codec, coded = self.codec, trial.coded
        shown = codec.model.synthesise(coded.y, coded.quality, *self.image.shape[-2:])
        if trial.correction is not None:
            shown = codec.picture_filter.apply(shown, trial.correction)
        if trial.detail is not None and codec.detail is not None:
            shown = codec.detail.added(shown, trial.detail.y, trial.detail.quality)
        return shown

    def fidelity(self, trial: Trial, metric: str | None = None) -> float:
        """Return how good the decoded picture is, by a method of ``Picture``; its PSNR if none is named."""
        picture = self.picture
        pixels = pixels_of(self._shown(trial), picture.mode, picture.depth)
        return picture.fidelity(metric or "psnr", pixels)

    def packed(self, trial: Trial) -> bytes:
        """Return the file."""
        picture, codec, coded = self.picture, self.codec, trial.coded
        width, height = picture.size
        header = container.Header(
            width=width,
            height=height,
            mode=picture.mode,
            quality=trial.quality,
            latent_quality=coded.quality,
            profile=codec.profile.name,
            parts=codec.profile.parts,
            fingerprint=codec.fingerprint,
            depth=picture.depth,
        )
        streams = {}
        if trial.correction is not None:
            streams[codec.profile.picture_filter.label] = container.Stream(trial.correction)
        details: tuple[container.Detail, ...] = ()
        if trial.detail is not None and codec.detail is not None:
            said = trial.detail.quality, codec.detail.fingerprint[:6], codec.shows
            details = tuple(container.Detail(*said, *stream) for stream in trial.detail.streams)
        return container.write(
            container.File(
                header,
                coded.streams,
                picture.metadata,
                self.opacity,
                streams,
                details,
                tile=self.tiles.side,
            )
        )

    def check(self, trial: Trial) -> None:
        """Decode what is to be written, and compare.

        Raises:
            CorruptStreamError: it differs.
        """
        codec, coded, detail = self.codec, trial.coded, trial.detail
        with self.clock("check"):
            y = tiled_coding.decode(codec.model, coded.streams, coded.quality, Clock(), self.tiles)
            sound = torch.equal(y, coded.y)
            if detail is not None and codec.detail is not None:
                given, layer = self._below(y, coded.quality), codec.detail.model
                r = tiled_coding.decode(
                    layer, detail.streams, detail.quality, Clock(), self.tiles, given=given
                )
                sound = sound and torch.equal(r, detail.y)
            if not sound:
                raise CorruptStreamError(
                    "the file that was just written does not decode to what was encoded; nothing was saved; "
                    "run licframe doctor"
                )


def _side_of_tiles(codec: LatentCodec, width: int, height: int) -> int:
    """Return the side of the tiles that a picture is cut into, in pixels; 0 for none."""
    settings, models = codec.profile.encoder, [codec.model]
    side = settings.tile
    if codec.detail is not None:
        models.append(codec.detail.model)
    fits = side > 0 and not any(side % model.transform.stride for model in models)
    return side if fits and width * height > settings.tiled_above and max(width, height) > side else 0
