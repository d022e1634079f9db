"""The codec: the only place where the four parts meet."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from licframe import weights, wiener
from licframe.bitstream import container
from licframe.coded import Coded, Decoded, Encoded, Estimate
from licframe.errors import CorruptStreamError, WeightsMismatchError
from licframe.exact.coder import Decoder, Encoder
from licframe.exact.units import CENTRE_FRACTION, QUALITIES, Condition, LatentUnits
from licframe.interfaces import (
    ContextScheduler,
    EntropyModel,
    Known,
    Quantise,
    Refiner,
    Step,
    SymbolCoder,
    Transform,
    centre_to_float,
)
from licframe.model.gains import Gains, error_weight
from licframe.model.gather import gather_slices
from licframe.model.target import Target, search
from licframe.picture import alpha
from licframe.picture.images import Picture, as_picture
from licframe.picture.tensors import pixels_of, tensor_of
from licframe.problem import LatentProblem
from licframe.profile import Profile
from licframe.runtime.clock import Clock
from licframe.runtime.limits import DEFAULT, Limits

DEFAULT_QUALITY = 50


class Codec(nn.Module):
    """A transform, a context scheduler, its entropy models, and gains.

    Made from a profile by ``licframe.load`` (ready to code) or ``loading.build`` (untrained).
    """

    gain_table: Tensor
    inverse_table: Tensor

    def __init__(
        self,
        profile: Profile,
        transform: Transform,
        scheduler: ContextScheduler,
        entropy_models: Sequence[EntropyModel],
        refiner: Refiner,
    ) -> None:
        super().__init__()
        self.profile = profile
        self.transform = transform
        self.scheduler = scheduler
        self.entropy_models = nn.ModuleList(entropy_models)
        self.refiner = refiner
        self.gains = Gains(transform.latent_channels)
        self.units = LatentUnits(transform.latent_channels)
        shape = (QUALITIES, transform.latent_channels)
        self.register_buffer("gain_table", torch.ones(shape))
        self.register_buffer("inverse_table", torch.ones(shape))
        self.fingerprint = b""

    # -- training -----------------------------------------------------------------------------

    def initialise(self, images: Tensor) -> None:
        """Prepare untrained weights from training patches ``(N, 3, H, W)`` in [0, 1]."""
        self.transform.initialise(images)
        with torch.no_grad():
            middle = torch.full((len(images),), QUALITIES / 2, device=images.device)
            pairs = zip(images.split(8), middle.split(8), strict=True)
            latents = torch.cat([self.transform.analysis(x, q) for x, q in pairs])
        std = self.transform.channel_std()
        std = latents.std((0, 2, 3)) if std is None else std
        self.units.std.copy_(std)
        self.scheduler.initialise(latents, std)

    def estimate(
        self, image: Tensor, quality: Tensor, quantise: Quantise = torch.round, *, noisy: bool = True
    ) -> Estimate:
        """Run the codec in floating point on images ``(N, 3, H, W)`` at qualities ``(N,)``.

        See ``estimate_latent`` for what is rounded, and how.
        """
        latent = self.transform.analysis(image, quality)
        gain, inverse = self.gains(quality)
        bits, y = self.estimate_latent(latent, gain, quality, quantise, noisy=noisy)
        h, w = image.shape[-2:]
        y = y * inverse[:, :, None, None]
        return Estimate(self.transform.synthesis(y, quality)[..., :h, :w], bits, latent, y)

    def decoded_latent(self, image: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bits ``(N,)`` of images, and the latent that the synthesis is given, float form."""
        gain, inverse = self.gains(quality)
        bits, y = self.estimate_latent(self.transform.analysis(image, quality), gain, quality)
        return bits, y * inverse[:, :, None, None]

    def estimate_latent(
        self,
        latent: Tensor,
        gain: Tensor,
        quality: Tensor,
        quantise: Quantise = torch.round,
        *,
        noisy: bool = True,
        in_order: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return the bits ``(N,)`` of a latent in coefficient units, and it as decoded, in steps.

        A decoded value is ``centre + quantise(latent - centre)``. Where the derivative of ``quantise`` is one, or taken
        for one, as that of rounding (straight-through), the value's derivative with respect to the centre is zero:
        values come from a pass in coding order without gradients, and all steps are predicted from them at once.

        Args:
            quantise: maps residuals to what the decoder has, or to a relaxation of that.
            noisy: the rate is that of the residual with uniform noise; else of what ``quantise`` gives.
            in_order: predict step by step and ask ``quantise`` for its derivative.
        """
        condition = self.units.float_form(gain, quality)
        tensors = {"y": latent * gain[:, :, None, None], **self.scheduler.side(latent, condition)}
        if in_order:
            steps, values = self._predict_in_order(condition, tensors, quantise)
        else:
            with torch.no_grad():
                _, fixed = self._predict_in_order(condition, tensors, quantise)
            # Autocast would hand what it made of the weights without gradients to the pass that needs them.
            torch.clear_autocast_cache()
            values = {name: value + (fixed[name] - value).detach() for name, value in tensors.items()}
            steps = list(self.scheduler.predict_all(Known.nothing(condition, tensors), values))
        counted = tensors if noisy else values
        if noisy:
            counted = {name: value + torch.rand_like(value) - 0.5 for name, value in tensors.items()}
        taken = {
            name: iter(gather_slices(value, [step.index for step, _ in steps if step.tensor == name]))
            for name, value in counted.items()
        }
        bits = torch.zeros_like(quality)
        for step, parameters in steps:
            model = cast("EntropyModel", self.entropy_models[step.pass_index])
            residual = next(taken[step.tensor]) - model.centre(parameters)
            bits = bits + model.bits(residual, parameters).sum((1, 2, 3))
        return bits, values["y"]

    def _predict_in_order(
        self, condition: Condition, tensors: Mapping[str, Tensor], quantise: Quantise
    ) -> tuple[list[tuple[Step, Tensor]], dict[str, Tensor]]:
        """Return each step with its parameters, and the decoded values of all tensors."""
        plan, steps = self.scheduler.short_plan(*tensors["y"].shape[-2:]), []
        parts = {
            name: iter(gather_slices(value, [step.index for step in plan if step.tensor == name]))
            for name, value in tensors.items()
        }

        def fix(step: Step, model: EntropyModel, parameters: Tensor) -> Tensor:
            steps.append((step, parameters))
            centre = model.centre(parameters)
            return centre + quantise(next(parts[step.tensor]) - centre)

        known = Known.nothing(condition, tensors)
        self._walk(known, fix, plan)
        return steps, {name: known[name] for name in tensors}

    def _walk(
        self,
        known: Known,
        fix: Callable[[Step, EntropyModel, Tensor], Tensor],
        plan: Sequence[Step] | None = None,
    ) -> None:
        """The one loop that trains, encodes and decodes; ``fix`` gives a step's latent values."""
        for step in plan or self.scheduler.plan(*known["y"].shape[-2:]):
            parameters = self.scheduler.predict(step, known)
            model = cast("EntropyModel", self.entropy_models[step.pass_index])
            known.place(step, fix(step, model, parameters))

    # -- freezing -----------------------------------------------------------------------------

    @torch.no_grad()
    def tabulate(self) -> None:
        """Fix the tables of the 101 qualities from the learned gains; done once, before saving."""
        gain, inverse = self.gains(torch.arange(QUALITIES, device=self.gain_table.device).float())
        self.gain_table.copy_(gain)
        self.inverse_table.copy_(inverse)
        self.units.tabulate(gain)

    def freeze(self) -> Codec:
        """Make the integer twins of all exact layers; return self.

        Raises:
            NotExactError: a layer cannot prove that its sums are exact.
        """
        self.scheduler.freeze()
        return self.eval()

    def save(self, path: Path, training: dict[str, Any], base: Path | None = None) -> str:
        """Write the weights, or what differs from those in ``base``; return their fingerprint."""
        if base is None:  # the tables of a trunk stay as they are
            self.tabulate()
        return weights.save(path, self, self.profile.structure(), training, base)

    # -- images -------------------------------------------------------------------------------

    def compress(
        self,
        image: Picture | Image.Image | NDArray[Any] | str | os.PathLike[str],
        quality: int | None = None,
        *,
        bpp: float | None = None,
        size: int | None = None,
        psnr: float | None = None,
    ) -> bytes:
        """Compress an image to the bytes of a .lic file.

        Args:
            image: a path, a Pillow image, or uint8 or uint16 ``(H, W)`` or ``(H, W, 2 .. 4)``.
            quality: 0 (smallest) to 100; 50 if nothing else is asked for.
            bpp: largest rate in bits per pixel; size: largest file in bytes; psnr: least PSNR in
                dB. At most one of the four; the search is on real files.

        Raises:
            ImageError, LimitError: the image is not supported, or the target cannot be met.
        """
        return self.encode(as_picture(image), Target(quality=quality, bpp=bpp, size=size, psnr=psnr)).data

    def decompress(self, data: bytes) -> Image.Image:
        """Decompress a .lic file that this codec's weights belong to.

        Raises:
            CorruptStreamError: damaged; WeightsMismatchError: made with other weights.
        """
        return self.decode(data).picture.to_pil()

    @torch.inference_mode()
    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        """Compress a picture; what was written is decoded again before it is returned."""
        target = target or Target()
        clock = Clock()
        with clock("analysis"):
            image = tensor_of(picture)
        tried: dict[int, tuple[Tensor, Coded]] = {}

        def attempt(quality: int) -> tuple[int, Callable[[], float]]:
            with clock("analysis"):
                latent = self.analyse(image, quality)
            coded = self.encode_latent(latent, quality, clock)
            if target.psnr is not None:
                coded = self._with_filter(image, coded, clock)
            tried[quality] = latent, coded
            return len(self._file(picture, coded)), lambda: self._psnr(picture, coded)

        def fits(coded: Coded) -> bool:
            size, psnr = lambda: len(self._file(picture, coded)), lambda: self._psnr(picture, coded)
            return target.met(size, width * height, psnr)

        width, height = picture.size
        quality = search(target, DEFAULT_QUALITY, width * height, attempt)
        if quality not in tried:
            attempt(quality)
        latent, plain = tried.pop(quality)
        tried.clear()
        coded = self._with_filter(image, plain, clock)
        refined = self._refined(image, latent, coded, clock)
        # The best that keeps within the target
        coded = next(filter(fits, (refined, coded)), plain)
        data = self._file(picture, coded)
        with clock("check"):
            decoded = self.decode_latent(coded.payload, coded.digest, quality, coded.y.shape[-2:], Clock())
            if not torch.equal(decoded, coded.y):
                raise CorruptStreamError(
                    "the file that was just written does not decode to what was encoded; nothing was saved; "
                    "run licframe doctor"
                )
        return Encoded(data, quality, coded.information, clock.seconds)

    @torch.inference_mode()
    def decode(self, data: bytes, limits: Limits = DEFAULT, *, best_effort: bool = False) -> Decoded:
        """Decompress a .lic file.

        Args:
            best_effort: do without damaged metadata or alpha, and say so in the result.

        Raises:
            CorruptStreamError: damaged; WeightsMismatchError: made with other weights; LimitError.
        """
        clock = Clock(limits.seconds)
        with clock("file"):
            file = container.read(data, limits, best_effort=best_effort)
            header, damage = file.header, list(file.damage)
            opacity = alpha.read(file, damage if best_effort else None)
            coefficients = None if file.filter is None else wiener.unpack(file.filter)
        y = self._decode_file(file, clock)
        with clock("synthesis"):
            image = self._synthesise(y, header.quality, header.height, header.width)
        with clock("filter"):
            pixels = pixels_of(wiener.apply(image, coefficients), header.mode, header.depth)
        return Decoded(Picture(pixels, file.metadata, opacity), clock.seconds, tuple(damage))

    @torch.inference_mode()
    def verify(self, data: bytes, limits: Limits = DEFAULT) -> None:
        """Decode all symbols and the alpha plane of a .lic file, and check them; raises as ``decode``."""
        file = container.read(data, limits)
        alpha.read(file)
        if file.filter is not None:
            wiener.unpack(file.filter)
        self._decode_file(file, Clock(limits.seconds))

    def _decode_file(self, file: container.File, clock: Clock) -> Tensor:
        header = file.header
        if header.fingerprint != self.fingerprint[: len(header.fingerprint)]:
            raise WeightsMismatchError(
                f"the file needs weights {header.fingerprint.hex()} of profile {header.profile}; "
                f"profile {self.profile.name} holds {self.fingerprint[:6].hex()}"
            )
        stride = self.transform.stride
        shape = (-(-header.height // stride), -(-header.width // stride))
        ((payload, digest),) = file.payloads
        return self.decode_latent(payload, digest, header.quality, shape, clock, header.revision >= 2)

    # -- latents ------------------------------------------------------------------------------

    def analyse(self, image: Tensor, quality: int) -> Tensor:
        """Return the latent ``(1, C, h, w)`` of an image ``(1, 3, H, W)`` in [0, 1], in coefficient units."""
        return self.transform.analysis(image, torch.full((1,), float(quality), device=image.device))

    def encode_latent(self, latent: Tensor, quality: int, clock: Clock, *, sparse: bool = True) -> Coded:
        """Code a latent ``(1, C, h, w)`` given in coefficient units.

        Args:
            sparse: leave out channels that are zero everywhere, where that is shorter; off, for measurements.
        """
        condition = self.units.exact_form(quality)
        y = latent.double() * self.gain_table[quality].double()[:, None, None]
        side = self.scheduler.side(latent, condition)
        tensors = {"y": y, **{name: value.double() for name, value in side.items()}}
        coded: list[tuple[Step, EntropyModel, Tensor, Tensor]] = []
        channels = latent.shape[1]
        empty = np.ones(channels, dtype=bool)
        encoder = Encoder()
        encoder.code_flags(~empty)

        def fix(step: Step, model: EntropyModel, parameters: Tensor) -> Tensor:
            centre = model.exact_centre(parameters)
            exact = tensors[step.tensor][step.index] - centre * 2.0**-CENTRE_FRACTION
            residual = self._code(
                encoder, step, model, parameters, exact.round(), ~np.zeros_like(empty), clock
            )
            coded.append((step, model, parameters, residual))
            if step.tensor == "y":
                empty[step.channels] &= ~residual.any(-1).any(-1).any(0).numpy()
            return centre + residual * 2.0**CENTRE_FRACTION

        with clock("context"):
            known = Known.nothing(condition, tensors)
            self._walk(known, fix)
        payload = encoder.finish()
        if sparse and empty.any():
            # The same symbols again, without the channels that hold none: nearly always smaller.
            shorter = Encoder()
            shorter.code_flags(empty)
            with clock("context"):
                for step, model, parameters, residual in coded:
                    self._code(shorter, step, model, parameters, residual, ~empty, clock)
            again = shorter.finish()
            if len(again) < len(payload):
                payload, encoder = again, shorter
        return Coded(quality, known["y"], payload, encoder.digest, encoder.bits, int(empty.sum()))

    def decode_latent(
        self,
        payload: bytes,
        digest: int,
        quality: int,
        shape: Sequence[int],
        clock: Clock,
        flags: bool = True,
    ) -> Tensor:
        """Return the decoded latent as integers with CENTRE_FRACTION fractional bits."""
        decoder = Decoder(payload)
        channels = self.transform.latent_channels
        live = ~decoder.code_flags(channels) if flags else np.ones(channels, dtype=bool)

        def fix(step: Step, model: EntropyModel, parameters: Tensor) -> Tensor:
            residual = self._code(decoder, step, model, parameters, None, live, clock)
            return residual.mul_(2.0**CENTRE_FRACTION).add_(model.exact_centre(parameters))

        with clock("context"):
            shapes = {"y": (channels, *shape), **self.scheduler.side_shapes(*shape)}
            zeros = {name: torch.zeros(1, *size, dtype=torch.float64) for name, size in shapes.items()}
            known = Known(self.units.exact_form(quality), **zeros)
            self._walk(known, fix)
        decoder.finish()
        if decoder.digest != digest:
            raise CorruptStreamError(
                f"the decoded symbols have digest {decoder.digest:08x}, the file says {digest:08x}; either "
                "the file is damaged or this machine computes differently: run licframe doctor"
            )
        return known["y"]

    @staticmethod
    def _code(
        coder: SymbolCoder,
        step: Step,
        model: EntropyModel,
        parameters: Tensor,
        symbols: Tensor | None,
        live: NDArray[np.bool_],
        clock: Clock,
    ) -> Tensor:
        """Code a step's residuals; those of y's channels that are not ``live`` are zero and cost nothing."""
        with clock("coding", inside="context"):
            chosen = live[step.channels] if step.tensor == "y" else live[:0]
            if chosen.all():
                residual = model.code(coder, parameters, symbols)
            else:
                residual = torch.zeros_like(parameters[:, 0])
                if chosen.any():
                    some = torch.from_numpy(np.flatnonzero(chosen))
                    wanted = None if symbols is None else symbols[:, some]
                    residual[:, some] = model.code(coder, parameters[:, :, some], wanted)
            coder.note(residual)
        return residual

    def _synthesise(self, y: Tensor, quality: int, height: int, width: int) -> Tensor:
        """Return the picture ``(1, 3, H, W)`` in [0, 1] of a decoded latent."""
        latent = centre_to_float(y) * self.inverse_table[quality][:, None, None]
        latent = latent.contiguous(memory_format=torch.channels_last)  # a fifth faster on CPUs
        qualities = torch.tensor([float(quality)], device=latent.device)
        return self.transform.synthesis(latent, qualities)[..., :height, :width].clamp(0, 1)

    def _with_filter(
        self, image: Tensor, coded: Coded, clock: Clock, known: wiener.Coefficients | None = None
    ) -> Coded:
        """Add the filter that is worth its bits, unless the profile wants none."""
        if not self.profile.encoder.filter or coded.filter is not None:
            return coded
        with clock("filter"):
            decoded = self._synthesise(coded.y, coded.quality, *image.shape[-2:])
            return attrs.evolve(
                coded, filter=wiener.fit(decoded, image, error_weight(coded.quality), known)
            )

    def _refined(self, image: Tensor, latent: Tensor, coded: Coded, clock: Clock) -> Coded:
        """Let the refiner search for a cheaper latent of this image, and fit the filter again."""
        # A refiner may take gradients, which tensors of inference mode do not have.
        with clock("refinement"), torch.inference_mode(False), torch.enable_grad():
            problem = LatentProblem(self, image.clone(), latent.clone(), coded.quality, coded.filter)
            refined = self.refiner.refine(problem).detach()
            if torch.equal(refined, problem.start):
                return coded
            searched = self.encode_latent(refined, coded.quality, Clock())
        return self._with_filter(image, searched, clock, coded.filter)

    def _psnr(self, picture: Picture, coded: Coded) -> float:
        """Return the PSNR over what is not fully transparent."""
        header = self._header(picture, coded)
        decoded = self._synthesise(coded.y, coded.quality, header.height, header.width)
        pixels = pixels_of(wiener.apply(decoded, coded.filter), header.mode, header.depth)
        error = np.square(pixels - picture.pixels.astype(np.float64))
        if picture.alpha is not None and picture.alpha.any():
            error = error[picture.alpha > 0]
        mean = error.mean()
        return 20 * math.log10(2**picture.depth - 1) - 10 * math.log10(mean) if mean else math.inf

    def _header(self, picture: Picture, coded: Coded) -> container.Header:
        width, height = picture.size
        return container.Header(
            width=width,
            height=height,
            mode=picture.mode,
            quality=coded.quality,
            profile=self.profile.name,
            parts=self.profile.parts,
            fingerprint=self.fingerprint,
            depth=picture.depth,
        )

    def _file(self, picture: Picture, coded: Coded) -> bytes:
        opacity = None if picture.alpha is None else alpha.encode(picture.alpha)
        payloads = ((coded.payload, coded.digest),)
        coefficients = None if coded.filter is None else wiener.pack(coded.filter)
        return container.write(
            container.File(self._header(picture, coded), payloads, picture.metadata, opacity, coefficients)
        )
