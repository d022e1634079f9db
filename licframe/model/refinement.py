"""One image's latent and its cost: what a refiner works on."""

from __future__ import annotations

import torch
from torch import Tensor

from licframe.exact.units import row_of
from licframe.model import latent_coding
from licframe.model.distortions import Distortion, squared_error
from licframe.model.gains import lambda_of
from licframe.model.interfaces import PictureFilter, Quantise, centre_to_float
from licframe.model.latent_model import LatentModel
from licframe.runtime.clock import Clock
from licframe.runtime.precision import bfloat16_matmul


class LatentObjective:
    """One image's latent and its cost; what a refiner works on (see ``interfaces.RefinementObjective``).

    Attributes:
        image: ``(1, 3, H, W)`` in [0, 1].
        analysed: the latent of the analysis, in coefficient units.
        gain: quantisation steps per coefficient unit, ``(C, 1, 1)``.
        quality: -28..100; weight: bits that a distortion of one is worth.
    """

    def __init__(
        self,
        model: LatentModel,
        image: Tensor,
        analysed: Tensor,
        quality: int,
        correction: tuple[PictureFilter, bytes] | None = None,
        distortion: Distortion = squared_error,
    ) -> None:
        """Make the objective of an image.

        Args:
            model: frozen.
            correction: the filter that the decoded picture goes through, with its bytes; None for none.
            distortion: what an error costs.
        """
        self.image, self.analysed, self.quality = image, analysed, quality
        self.gain = model.gain_table[row_of(quality)][:, None, None].clone()
        height, width = image.shape[-2:]
        self.weight = float(lambda_of(torch.tensor(float(quality)))) * height * width
        self._model, self._correction, self._measure = model, correction, distortion

    def estimated_cost(
        self, latent: Tensor, quantise: Quantise | None = None, *, unit_slope: bool = False
    ) -> Tensor:
        """Return bits + lambda * distortion, differentiable in the latent.

        Its networks are computed in bfloat16 where that is faster; what a search finds is judged by :meth:`true_cost`.
        """
        quality = torch.full((1,), float(self.quality), device=latent.device)
        inverse = self._model.inverse_table[row_of(self.quality)][:, None, None].clone()
        with bfloat16_matmul(latent.device):
            bits, y = self._model.estimate_latent(
                latent,
                self.gain[None, :, 0, 0],
                quality,
                quantise or torch.round,
                noisy=quantise is None,
                in_order=quantise is not None and not unit_slope,
            )
            decoded = self._decoded(y * inverse)
        return bits.sum() + self._distortion(decoded)

    @torch.no_grad()
    def rounded(self, latent: Tensor) -> Tensor:
        """Return the latent that a decoder has, in the units of ``analysed``."""
        return centre_to_float(self._coded(latent).y) / self.gain

    @torch.no_grad()
    def true_cost(self, latent: Tensor) -> float:
        """Return the same with real coded bytes."""
        coded = self._coded(latent)
        decoded = centre_to_float(coded.y) * self._model.inverse_table[row_of(self.quality)][:, None, None]
        return 8 * len(coded.payload) + float(self._distortion(self._decoded(decoded)))

    def _coded(self, latent: Tensor) -> latent_coding.CodedLatent:
        return latent_coding.encode(self._model, latent, self.quality, Clock())

    def _decoded(self, latent: Tensor) -> Tensor:
        """Return the picture of a latent before its filter."""
        quality = torch.full((len(latent),), float(self.quality), device=latent.device)
        latent = latent.contiguous(memory_format=torch.channels_last)
        return self._model.transform.synthesis(latent, quality)

    def _distortion(self, decoded: Tensor) -> Tensor:
        h, w = self.image.shape[-2:]
        shown = decoded.float()[..., :h, :w].clamp(0, 1)
        if self._correction is not None:
            filtering, data = self._correction
            shown = filtering.apply(shown, data)
        return self.weight * self._measure(shown, self.image).sum()
