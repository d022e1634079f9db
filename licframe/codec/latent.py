"""The latent codec: a latent model with an identity and an encoder's settings."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import attrs
import torch
from torch import Tensor

import licframe
from licframe.bitstream import container
from licframe.codec import corrections, notes
from licframe.codec.corrections import FindFilter
from licframe.codec.interface import Capabilities, Decoded, Encoded, ImageCodec
from licframe.codec.target import Target, search, whole_quality
from licframe.errors import CorruptStreamError, WeightsMismatchError
from licframe.model import latent_coding
from licframe.model.gains import error_weight
from licframe.model.interfaces import PictureFilter, Refiner
from licframe.model.latent_model import LatentModel
from licframe.model.refinement import LatentObjective
from licframe.picture import alpha
from licframe.picture.images import Picture
from licframe.picture.tensors import pixels_of, tensor_of
from licframe.profile.profile import LatentProfile
from licframe.runtime.clock import Clock
from licframe.runtime.limits import DEFAULT, Limits

DEFAULT_QUALITY = 50
SCALE = range(101)


@attrs.frozen(eq=False)
class _Source:
    """A picture, as a tensor ``(1, 3, H, W)`` in [0, 1], and its coded alpha."""

    picture: Picture
    image: Tensor
    alpha: bytes | None


@attrs.frozen(eq=False)
class _Trial:
    """A latent ``(1, C, h, w)``, coded, the bytes of its picture's filter, and the squared error before that."""

    latent: Tensor
    coded: latent_coding.CodedLatent
    correction: bytes | None = None
    error: float | None = None


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
    """

    profile: LatentProfile
    model: LatentModel
    refiner: Refiner
    picture_filter: PictureFilter
    find_filter: FindFilter
    fingerprint: bytes = bytes(32)
    synthesis: str = ""
    version: str = attrs.field(init=False)

    qualities = (0, 14, 29, 43, 57, 71, 86, 100)  # the knots of the gains
    capabilities: ClassVar[Capabilities] = Capabilities(weights=True)

    @version.default
    def _(self) -> str:
        text = f"licframe {licframe.__version__}, weights {self.fingerprint[:6].hex()}"
        if self.synthesis:
            text += f", synthesis {self.synthesis[:12]}"
        if self.picture_filter.sends:
            text += f", {self.profile.picture_filter.described}"
        if self.refiner.searches:
            text += f", {self.profile.refiner.described}"
        return text

    # -- a picture to a file --------------------------------------------------------------------

    @torch.inference_mode()
    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        """Compress a picture; what was written is decoded again before it is returned."""
        target, clock = target or Target(), Clock()
        source = self._prepared(picture, clock)
        trials: dict[int, _Trial] = {}

        def trial(quality: float) -> _Trial:
            at = whole_quality(quality)
            if at not in trials:
                trials[at] = self._coded(source, at, clock)
                if target.psnr is not None:
                    trials[at] = self._filtered(source, trials[at], clock)
            return trials[at]

        width, height = picture.size
        quality = search(
            target,
            SCALE,
            DEFAULT_QUALITY,
            width * height,
            lambda q: len(self._packed(source, trial(q))),
            lambda q: self._psnr(source, trial(q)),
        )
        plain = trial(quality)
        trials.clear()
        filtered = plain if target.psnr is not None else self._filtered(source, plain, clock)
        for best in (self._refined(source, filtered, clock), filtered, plain):
            data, shown = self._packed(source, best), partial(self._psnr, source, best)
            if target.met(len(data), width * height, shown):
                break
        self._check(best.coded, clock)
        said = notes.of_synthesised(picture, best.coded.quality, best.error or filtered.error, shown)
        return Encoded(data, best.coded.quality, clock.seconds, best.coded.information, notes=said)

    def _prepared(self, picture: Picture, clock: Clock) -> _Source:
        with clock("file"):
            opacity = None if picture.alpha is None else alpha.encode(picture.alpha)
        with clock("analysis"):
            return _Source(picture, tensor_of(picture).to(self.model.device), opacity)

    def _coded(self, source: _Source, quality: int, clock: Clock) -> _Trial:
        with clock("analysis"):
            latent = self.model.analyse(source.image, quality)
        return _Trial(latent, latent_coding.encode(self.model, latent, quality, clock))

    def _filtered(self, source: _Source, trial: _Trial, clock: Clock) -> _Trial:
        """Fit the filter that is worth its bits, or keep the one that is there."""
        if not self.picture_filter.sends:
            return trial
        with clock("filter"):
            decoded = self._synthesised(source, trial)
            weight = error_weight(trial.coded.quality)
            found = corrections.fit(self.picture_filter, decoded, source.image, weight, trial.correction)
            error = float((decoded - source.image).square().mean())
        return attrs.evolve(trial, correction=found, error=error)

    def _refined(self, source: _Source, trial: _Trial, clock: Clock) -> _Trial:
        """Let the refiner search for a cheaper latent of this picture, and fit the filter again."""
        if not self.refiner.searches:
            return trial
        quality = trial.coded.quality
        correction = None if trial.correction is None else (self.picture_filter, trial.correction)
        # A refiner may take gradients, which tensors of inference mode do not have.
        with clock("refinement"), torch.inference_mode(False), torch.enable_grad():
            objective = LatentObjective(
                self.model, source.image.clone(), trial.latent.clone(), quality, correction
            )
            latent = self.refiner.refine(objective).detach()
            if torch.equal(latent, objective.analysed):
                return trial
            coded = latent_coding.encode(self.model, latent, quality, Clock())
        return self._filtered(source, _Trial(latent, coded, trial.correction), clock)

    def _packed(self, source: _Source, trial: _Trial) -> bytes:
        picture, coded = source.picture, trial.coded
        width, height = picture.size
        header = container.Header(
            width=width,
            height=height,
            mode=picture.mode,
            quality=coded.quality,
            profile=self.profile.name,
            parts=self.profile.parts,
            fingerprint=self.fingerprint,
            depth=picture.depth,
        )
        streams = {}
        if trial.correction is not None:
            streams[self.profile.picture_filter.label] = container.Stream(trial.correction)
        payloads = ((coded.payload, coded.digest),)
        return container.write(container.File(header, payloads, picture.metadata, source.alpha, streams))

    def _check(self, coded: latent_coding.CodedLatent, clock: Clock) -> None:
        """Decode what is to be written, and compare."""
        with clock("check"):
            shape = coded.y.shape[-2:]
            decoded = latent_coding.decode(
                self.model, coded.payload, coded.digest, coded.quality, shape, Clock()
            )
            if not torch.equal(decoded, coded.y):
                raise CorruptStreamError(
                    "the file that was just written does not decode to what was encoded; nothing was saved; "
                    "run licframe doctor"
                )

    def _synthesised(self, source: _Source, trial: _Trial) -> Tensor:
        return self.model.synthesise(trial.coded.y, trial.coded.quality, *source.image.shape[-2:])

    def _psnr(self, source: _Source, trial: _Trial) -> float:
        """Return the PSNR in dB over what is not fully transparent."""
        picture, shown = source.picture, self._synthesised(source, trial)
        if trial.correction is not None:
            shown = self.picture_filter.apply(shown, trial.correction)
        return picture.psnr(pixels_of(shown, picture.mode, picture.depth))

    # -- a file to a picture --------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, data: bytes, limits: Limits = DEFAULT, *, best_effort: bool = False) -> Decoded:
        """Decompress a .lic file; with best effort without damaged metadata, alpha or side streams."""
        clock = Clock(limits.seconds)
        with clock("file"):
            file = self._own(container.read(data, limits, best_effort=best_effort))
            header, damage = file.header, list(file.damage)
            opacity = alpha.read(file, damage if best_effort else None)
            filters = corrections.of_file(file.streams, self.find_filter, damage if best_effort else None)
        y = self._decoded(file, clock)
        with clock("synthesis"):
            image = self.model.synthesise(y, header.quality, header.height, header.width)
        with clock("filter"):
            pixels = pixels_of(corrections.apply_all(image, filters), header.mode, header.depth)
        return Decoded(Picture(pixels, file.metadata, opacity), clock.seconds, tuple(damage))

    @torch.inference_mode()
    def verify(self, data: bytes, limits: Limits = DEFAULT) -> None:
        """Decode all symbols, side streams and the alpha plane of a file, and check them; raises as ``decode``."""
        file = self._own(container.read(data, limits))
        alpha.read(file)
        corrections.of_file(file.streams, self.find_filter)
        self._decoded(file, Clock(limits.seconds))

    def _own(self, file: container.File) -> container.File:
        header = file.header
        if header.codec or header.fingerprint != self.fingerprint[:6]:
            raise WeightsMismatchError(
                f"the file needs {header.codec or 'weights ' + header.fingerprint.hex()} of profile {header.profile}; "
                f"profile {self.profile.name} holds {self.fingerprint[:6].hex()}"
            )
        return file

    def _decoded(self, file: container.File, clock: Clock) -> Tensor:
        header = file.header
        stride = self.model.transform.stride
        shape = (-(-header.height // stride), -(-header.width // stride))
        ((payload, digest),) = file.payloads
        return latent_coding.decode(
            self.model, payload, digest, header.quality, shape, clock, flags=header.revision >= 2
        )
