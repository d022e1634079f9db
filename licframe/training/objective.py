"""What training minimises: rate, distortion, and terms beside them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from licframe.model.distortions import Distortion, dissimilarity, squared_error
from licframe.model.gains import lambda_of
from licframe.model.interfaces import Quantise, Transform
from licframe.model.latent_model import Estimate, LatentModel
from licframe.model.noise import uniform_noise

REFERENCE_LAMBDA = 0.013


class Objective(nn.Module, ABC):
    """A loss of what a ``Source`` gives, in training mode; in evaluation mode the same without random numbers.

    Attributes:
        auxiliary: what is trained, averaged and saved beside the codec; None where nothing is.
        recordable: a step takes nothing from main memory, so that it may be recorded on a GPU.
    """

    recordable: bool = True

    auxiliary: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary = None

    def advance(self, progress: float) -> Hashable:
        """Tell which share of the run is over; return what the computation depends on.

        Equal values mean the same operations on other numbers, so that a step may be recorded once and played back.
        What changes smoothly is kept in tensors.
        """
        return None

    @abstractmethod
    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, a scalar; and loss, bits per pixel and squared error of each sample, ``(3, N)``."""


Term = Callable[[LatentModel, Estimate, Tensor], Tensor]
"""Maps a codec, what it made of a batch and the qualities to what is added to the loss of each sample, ``(N,)``."""


def l1_term(beta: float) -> Term:
    """Return ``beta * mean|y|`` (arXiv 2309.02529), of the latent in quantisation steps, where sparse means cheap.

    Gains are not its to shrink.
    """

    def term(model: LatentModel, estimate: Estimate, quality: Tensor) -> Tensor:
        gain = model.gains(quality)[0].detach()[:, :, None, None]
        return beta * (estimate.latent * gain).abs().mean((1, 2, 3))

    return term


def even_weight(lam: Tensor) -> Tensor:
    """Return 1 / sqrt(lambda / 0.013): no quality drowns the others."""
    return (lam / REFERENCE_LAMBDA).rsqrt()


def add_noise(residual: Tensor) -> Tensor:
    """Return a residual with uniform noise in place of rounding."""
    return residual + uniform_noise(residual)


class RateDistortion(Objective):
    """``L = R + lambda * D + terms``, each sample times a weight that depends on its lambda.

    Args:
        distortion: D.
        terms: what is added, such as ``l1_term``.
        weight: maps lambdas ``(N,)`` to the weights of samples.
        quantise: what takes the place of rounding; its derivative counts as one.
        auxiliary: a transform whose synthesis decodes the same latents and is trained too; D is then the mean of both,
            and the analysis learns what both can undo.
    """

    def __init__(
        self,
        model: LatentModel,
        distortion: Distortion = squared_error,
        terms: Sequence[Term] = (),
        weight: Callable[[Tensor], Tensor] = even_weight,
        quantise: Quantise = torch.round,
        auxiliary: Transform | None = None,
    ) -> None:
        super().__init__()
        self.model, self.distortion, self.terms = model, distortion, tuple(terms)
        self.weight, self.quantise = weight, quantise
        # The package for MS-SSIM makes its window in main memory.
        self.recordable = distortion is not dissimilarity
        self.auxiliary = auxiliary

    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """Take images ``(N, 3, H, W)`` and qualities ``(N,)``; see ``Objective``."""
        image, quality = batch
        image = image.contiguous(memory_format=torch.channels_last)  # as the decoded one is
        quantise = self.quantise if self.training else torch.round
        out = self.model.estimate(image, quality, quantise, noisy=self.training)
        bpp = out.bits / (image.shape[-2] * image.shape[-1])
        mse = (out.image.detach().float() - image).square().mean((1, 2, 3))
        lam = lambda_of(quality)
        distortion = self.distortion(out.image, image)
        if self.auxiliary is not None:
            h, w = image.shape[-2:]
            transform = cast("Transform", self.auxiliary)
            other = transform.synthesis(out.decoded, quality)[..., :h, :w]
            distortion = (distortion + self.distortion(other, image)) / 2
        loss = bpp + lam * distortion
        for term in self.terms:
            loss = loss + term(self.model, out, quality)
        loss = loss * self.weight(lam)
        return loss.mean(), torch.stack([loss, bpp, mse]).detach()


class Rate(Objective):
    """Bits per pixel of cached latents (``latents.CachedLatents``), for contexts of a frozen transform.

    Args:
        pixels: of the patch that a latent stands for.
    """

    def __init__(
        self, model: LatentModel, pixels: int, weight: Callable[[Tensor], Tensor] = even_weight
    ) -> None:
        super().__init__()
        self.model, self.pixels, self.weight = model, pixels, weight

    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """Take latents ``(N, C, h, w)`` in coefficient units and qualities ``(N,)``; see ``Objective``."""
        latent, quality = batch
        gain = self.model.gains(quality)[0]
        bits, _ = self.model.estimate_latent(latent, gain, quality, noisy=self.training)
        bpp = bits / self.pixels
        loss = bpp * self.weight(lambda_of(quality))
        return loss.mean(), torch.stack([loss, bpp, torch.zeros_like(bpp)]).detach()
