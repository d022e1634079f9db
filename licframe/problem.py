"""One image's latent and its cost: what a refiner works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from licframe import wiener
from licframe.interfaces import Quantise, centre_to_float
from licframe.model.gains import error_weight
from licframe.runtime.clock import Clock
from licframe.runtime.precision import bfloat16_matmul

if TYPE_CHECKING:
    from licframe.codec import Codec


class LatentProblem:
    """One image's latent and its cost; what a refiner works on (see ``interfaces.Problem``).

    Attributes:
        image: ``(1, 3, H, W)`` in [0, 1].
        start: the latent of the analysis, in coefficient units.
        gain: quantisation steps per coefficient unit, ``(C, 1, 1)``.
        coefficients: of the filter that the decoded picture goes through, if any.
        quality: 0..100; weight: bits that a squared error of one is worth, samples in [0, 1].
    """

    def __init__(
        self,
        codec: Codec,
        image: Tensor,
        start: Tensor,
        quality: int,
        coefficients: wiener.Coefficients | None = None,
    ) -> None:
        self.image, self.start, self.quality = image, start, quality
        self._filter = coefficients
        self.gain = codec.gain_table[quality][:, None, None].clone()
        self.weight = error_weight(quality)
        self._codec = codec

    def objective(
        self, latent: Tensor, quantise: Quantise | None = None, *, unit_slope: bool = False
    ) -> Tensor:
        """Return bits + lambda * squared error, differentiable in the latent.

        Its networks are computed in bfloat16 where that is faster; what a search finds is judged by :meth:`true_cost`.
        """
        codec, q = self._codec, self.quality
        inverse = codec.inverse_table[q][:, None, None].clone()
        quality = torch.full((1,), float(q), device=latent.device)
        with bfloat16_matmul(latent.device):
            bits, y = codec.estimate_latent(
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
        """Return the latent that a decoder has, in the units of ``start``."""
        coded = self._codec.encode_latent(latent, self.quality, Clock())
        return centre_to_float(coded.y) / self.gain

    @torch.no_grad()
    def true_cost(self, latent: Tensor) -> float:
        """Return the same with real coded bytes."""
        codec, q = self._codec, self.quality
        coded = codec.encode_latent(latent, q, Clock())
        decoded = centre_to_float(coded.y) * codec.inverse_table[q][:, None, None]
        return 8 * len(coded.payload) + float(self._distortion(self._decoded(decoded)))

    def _decoded(self, latent: Tensor) -> Tensor:
        """Return the picture of a latent before its filter."""
        quality = torch.full((len(latent),), float(self.quality), device=latent.device)
        latent = latent.contiguous(memory_format=torch.channels_last)
        return self._codec.transform.synthesis(latent, quality)

    def _distortion(self, decoded: Tensor) -> Tensor:
        h, w = self.image.shape[-2:]
        filtered = wiener.apply(decoded.float()[..., :h, :w].clamp(0, 1), self._filter)
        return self.weight * (filtered - self.image).square().sum()
