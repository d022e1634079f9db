"""The latent model: an image to a latent, its rate, and back. It knows no profile and no file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import attrs
import torch
from torch import Tensor, nn

from licframe.exact.units import QUALITIES, Condition, LatentUnits, row_of
from licframe.model import windows
from licframe.model.gains import Gains
from licframe.model.gather import gather_slices
from licframe.model.interfaces import (
    ContextScheduler,
    EntropyModel,
    Known,
    Quantise,
    Step,
    Transform,
    centre_to_float,
)
from licframe.model.noise import uniform_noise
from licframe.model.windows import Box, Crop
from licframe.runtime.precision import without_tf32


@attrs.frozen
class Estimate:
    """What a forward pass in floating point gives, differentiable.

    Attributes:
        image: reconstruction ``(N, 3, H, W)``, not clamped.
        bits: information of the latent of each image, ``(N,)``.
        latent: the latent before gains, ``(N, C, h, w)``.
        decoded: the same as the synthesis is given it.
    """

    image: Tensor
    bits: Tensor
    latent: Tensor
    decoded: Tensor


class LatentModel(nn.Module):
    """A transform, a context scheduler, its entropy models, and gains.

    ``loading.build`` makes an untrained one; what codes a latent with a frozen one is ``model.latent_coding``.
    """

    gain_table: Tensor
    inverse_table: Tensor

    def __init__(
        self, transform: Transform, scheduler: ContextScheduler, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__()
        self.transform = transform
        self.scheduler = scheduler
        self.entropy_models = nn.ModuleList(entropy_models)
        self.gains = Gains(transform.latent_channels)
        self.units = LatentUnits(transform.latent_channels)
        shape = (len(QUALITIES), transform.latent_channels)
        self.register_buffer("gain_table", torch.ones(shape))
        self.register_buffer("inverse_table", torch.ones(shape))
        self._coding: Sequence[EntropyModel] = ()

    def initialise(self, images: Tensor) -> None:
        """Prepare untrained weights from training patches ``(N, 3, H, W)`` in [0, 1]."""
        self.transform.initialise(images)
        with torch.no_grad():
            middle = torch.full((len(images),), 50.0, device=images.device)
            pairs = zip(images.split(8), middle.split(8), strict=True)
            latents = torch.cat([self.transform.analysis(x, q) for x, q in pairs])
        std = self.transform.channel_std()
        std = latents.std((0, 2, 3)) if std is None else std
        self.units.std.copy_(std)
        self.scheduler.initialise(latents, std)

    # -- floating point, differentiable ---------------------------------------------------------

    def estimate(
        self, image: Tensor, quality: Tensor, quantise: Quantise = torch.round, *, noisy: bool = True
    ) -> Estimate:
        """Code images ``(N, 3, H, W)`` at qualities ``(N,)`` in floating point.

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
        given: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the bits ``(N,)`` of a latent in coefficient units, and it as decoded, in steps.

        A decoded value is ``centre + quantise(latent - centre)``. Where the derivative of ``quantise`` is one, or taken
        for one, as that of rounding (straight-through), the value's derivative with respect to the centre is zero:
        values come from a pass in coding order without gradients, and all steps are predicted from them at once.

        Args:
            quantise: maps residuals to what the decoder has, or to a relaxation of that.
            noisy: the rate is that of the residual with uniform noise; else of what ``quantise`` gives.
            in_order: predict step by step and ask ``quantise`` for its derivative.
            given: see ``Known.given``.
        """
        condition = self.units.float_form(gain, quality)
        tensors = {"y": latent * gain[:, :, None, None], **self.scheduler.side(latent, condition)}
        if in_order:
            steps, values = self._predict_in_order(condition, tensors, quantise, given)
        else:
            with torch.no_grad():
                _, fixed = self._predict_in_order(condition, tensors, quantise, given)
            # Autocast would hand what it made of the weights without gradients to the pass that needs them.
            torch.clear_autocast_cache()
            values = {name: value + (fixed[name] - value).detach() for name, value in tensors.items()}
            steps = list(self.scheduler.predict_all(Known.nothing(condition, tensors, given), values))
        counted = tensors if noisy else values
        if noisy:
            counted = {name: value + uniform_noise(value) for name, value in tensors.items()}
        taken = {
            name: iter(gather_slices(value, [step.index for step, _ in steps if step.tensor == name]))
            for name, value in counted.items()
        }
        bits = torch.zeros_like(quality)
        for step, parameters in steps:
            model = self.entropy_model(step)
            residual = next(taken[step.tensor]) - model.centre(parameters)
            bits = bits + model.bits(residual, parameters).sum((1, 2, 3))
        return bits, values["y"]

    def _predict_in_order(
        self,
        condition: Condition,
        tensors: Mapping[str, Tensor],
        quantise: Quantise,
        given: Mapping[str, Tensor] | None,
    ) -> tuple[list[tuple[Step, Tensor]], dict[str, Tensor]]:
        """Return each step with its parameters, and the decoded values of all tensors."""
        plan, steps = self.scheduler.short_plan(*tensors["y"].shape[-2:]), []
        parts = {
            name: iter(gather_slices(value, [step.index for step in plan if step.tensor == name]))
            for name, value in tensors.items()
        }

        def fix(step: Step, parameters: Tensor) -> Tensor:
            steps.append((step, parameters))
            centre = self.entropy_model(step).centre(parameters)
            return centre + quantise(next(parts[step.tensor]) - centre)

        known = Known.nothing(condition, tensors, given)
        self.walk(known, fix, plan)
        return steps, {name: known[name] for name in tensors}

    # -- the one loop --------------------------------------------------------------------------

    def walk(
        self,
        known: Known,
        fix: Callable[[Step, Tensor], Tensor],
        plan: Sequence[Step] | None = None,
    ) -> None:
        """Go through the steps of a plan: the one loop that trains, encodes and decodes.

        Args:
            known: what is known before; filled.
            fix: returns the values of a step, given its predicted parameters.
            plan: the scheduler's own if left out.
        """
        for step in plan or self.scheduler.plan(*known["y"].shape[-2:]):
            parameters = self.scheduler.predict(step, known)
            known.place(step, fix(step, parameters))

    def entropy_model(self, step: Step) -> EntropyModel:
        """Return the entropy model of a step, for its float form."""
        return cast("EntropyModel", self.entropy_models[step.pass_index])

    def coding_model(self, step: Step) -> EntropyModel:
        """Return the entropy model that codes a step, on the CPU like the coder."""
        return self._coding[step.pass_index]

    # -- frozen --------------------------------------------------------------------------------

    @torch.no_grad()
    def tabulate(self) -> None:
        """Fix the tables of all qualities from the learned gains; done once, before saving."""
        gain, inverse = self.gains(torch.tensor(list(QUALITIES), device=self.gain_table.device).float())
        self.gain_table.copy_(gain)
        self.inverse_table.copy_(inverse)
        self.units.tabulate(gain)

    def freeze(self) -> LatentModel:
        """Make the integer twins of all exact layers; return self.

        Raises:
            NotExactError: a layer cannot prove that its sums are exact.
        """
        self.scheduler.freeze()
        # One that holds tensors would move with the others; the CPU keeps a copy.
        self._coding = [
            cast("EntropyModel", copy.deepcopy(model).cpu() if model.state_dict() else model)
            for model in self.entropy_models
        ]
        return self.eval()

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.gain_table.device

    def analyse(self, image: Tensor, quality: int) -> Tensor:
        """Return the latent ``(1, C, h, w)`` of an image ``(1, 3, H, W)`` in [0, 1], in coefficient units."""
        with without_tf32(image.device):
            at = torch.full((1,), float(quality), device=image.device)
            return windows.analysed(self.transform, image, at)

    def analyse_box(self, crop: Crop, quality: int, size: Sequence[int], box: Box) -> Tensor:
        """Return a box of the latent of a picture, in coefficient units (see ``windows.analysed_box``)."""
        with without_tf32(self.device):
            at = torch.full((1,), float(quality), device=self.device)
            return windows.analysed_box(self.transform, crop, at, size, box)

    def synthesise(self, y: Tensor, quality: int, height: int, width: int) -> Tensor:
        """Return the picture ``(1, 3, H, W)`` in [0, 1] of a decoded latent (see ``latent_coding.decode``)."""
        box = slice(0, height), slice(0, width)
        return self.synthesised(y, quality, box).clamp_(0, 1)

    def synthesised(self, y: Tensor, quality: int, box: Box, corner: tuple[int, int] = (0, 0)) -> Tensor:
        """Return a box of the picture of a decoded latent, not clamped.

        Args:
            y: the latent, or as much of it as ``windows.seen_by`` says; corner: row and column of its first element.
        """
        latent = centre_to_float(y.to(self.device)) * self.inverse_table[row_of(quality)][:, None, None]
        latent = latent.contiguous(memory_format=torch.channels_last)  # a fifth faster on CPUs
        qualities = torch.full((1,), float(quality), device=latent.device)
        first = self.transform.stride * corner[0], self.transform.stride * corner[1]
        with without_tf32(latent.device):
            return windows.synthesised(self.transform, latent, qualities, windows.moved(box, first))
