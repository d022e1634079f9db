"""The codec: the only place where the four parts meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import torch
from torch import Tensor, nn

from licframe.exact.rounding import straight_through_round
from licframe.exact.units import LatentUnits
from licframe.interfaces import ContextScheduler, EntropyModel, Known, Step, Transform
from licframe.rate import Gains


@attrs.frozen
class Estimate:
    """What a forward pass in floating point gives, differentiable.

    Attributes:
        image: reconstruction ``(N, 3, H, W)``, not clamped.
        bits: information of the latent of each image, ``(N,)``.
        latent: the latent before gains, ``(N, C, h, w)``.
    """

    image: Tensor
    bits: Tensor
    latent: Tensor


class Codec(nn.Module):
    """A transform, a context scheduler, its entropy models, and gains."""

    def __init__(
        self,
        transform: Transform,
        scheduler: ContextScheduler,
        entropy_models: Sequence[EntropyModel],
    ) -> None:
        super().__init__()
        self.transform = transform
        self.scheduler = scheduler
        self.entropy_models = nn.ModuleList(entropy_models)
        self.gains = Gains(transform.latent_channels)
        self.units = LatentUnits(transform.latent_channels)

    def initialise(self, images: Tensor) -> None:
        """Prepare untrained weights from training patches ``(N, 3, H, W)`` in [0, 1]."""
        self.transform.initialise(images)
        with torch.no_grad():
            latents = torch.cat([self.transform.analysis(x) for x in images.split(8)])
        std = self.transform.channel_std()
        std = latents.std((0, 2, 3)) if std is None else std
        self.units.std.copy_(std)
        self.scheduler.initialise(latents, std)

    def estimate(self, image: Tensor, quality: Tensor) -> Estimate:
        """Run the codec in floating point on images ``(N, 3, H, W)`` at qualities ``(N,)``.

        Rounding is straight-through around each predicted centre, as the decoder will see it; the
        rate is that of the residual with uniform noise.
        """
        latent = self.transform.analysis(image)
        gain, inverse = self.gains(quality)
        y = latent * gain[:, :, None, None]
        bits = torch.zeros_like(quality)

        def fix(step: Step, model: EntropyModel, parameters: Tensor) -> Tensor:
            nonlocal bits
            centre = model.centre(parameters)
            residual = y[step.index] - centre
            noise = torch.rand_like(residual) - 0.5
            bits = bits + model.bits(residual + noise, parameters).sum((1, 2, 3))
            return centre + straight_through_round(residual)

        known = Known(self.units.begin(gain, quality), y=torch.zeros_like(y))
        self._walk(known, fix)
        h, w = image.shape[-2:]
        decoded = self.transform.synthesis(known["y"] * inverse[:, :, None, None])
        return Estimate(decoded[..., :h, :w], bits, latent)

    def _walk(
        self, known: Known, fix: Callable[[Step, EntropyModel, Tensor], Tensor]
    ) -> None:
        """The one loop that trains, encodes and decodes; ``fix`` gives a step's latent values."""
        for step in self.scheduler.plan(*known["y"].shape[-2:]):
            parameters = self.scheduler.predict(step, known)
            model = self.entropy_models[step.pass_index]
            known.place(step, fix(step, model, parameters))
