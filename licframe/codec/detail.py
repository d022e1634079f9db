"""A detail layer: what a base leaves out of a picture, coded by a second latent model.

It works in a closed loop: what is coded is the difference to the picture that a decoder has, so that any picture reaches any
fidelity. Its context sees the base's latent, in integers; no symbol depends on a float picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from licframe.model import tiled_coding
from licframe.model.latent_model import LatentModel
from licframe.model.tiled_coding import Given, Tiles
from licframe.model.windows import Box
from licframe.runtime.clock import Clock

LARGEST_STEP = 32.0
"""Quantisation step at quality 0, in levels of 8 bits; it halves with every _HALVING qualities."""

_HALVING = 20.0


def quality_of_step(step: float) -> int:
    """Return the quality 0..100 of a detail layer whose quantisation step is nearest, in levels of 8 bits."""
    return min(100, max(0, round(_HALVING * math.log2(LARGEST_STEP / step))))


def step_of(quality: int) -> float:
    """Return the quantisation step of a detail layer at a quality 0..100, in levels of 8 bits."""
    return float(LARGEST_STEP * 2.0 ** (-quality / _HALVING))


def in_steps(weight: float, quality: int) -> float:
    """Return what a squared error of one step is worth, given what one of one is, samples in [0, 1]."""
    return weight * (step_of(quality) / 255) ** 2


@torch.no_grad()
def set_steps(model: LatentModel, scale: float) -> None:
    """Give a detail layer's model the gains of its qualities.

    Args:
        scale: of its transform: coefficients of a picture in [0, 1], orthonormal, times this.
    """
    knots = torch.arange(len(model.gains.log2_gain), dtype=torch.float64) - 2
    gain = math.log2(255 / (LARGEST_STEP * scale)) + knots * (100 / 7) / _HALVING
    model.gains.log2_gain.copy_(gain.float()[:, None].expand_as(model.gains.log2_gain))
    model.gains.log2_inverse.copy_(-model.gains.log2_gain)


def base_context(base: LatentModel, y: Tensor, quality: int) -> Mapping[str, Tensor]:
    """Return what the context of a detail layer is given (see ``Known.given``), exact form.

    Args:
        y: the base's decoded latent ``(N, C, h, w)``, integers with CENTRE_FRACTION fractional bits; quality: its.
    """
    condition = base.units.exact_form(quality)
    seen = condition.context(y.to(base.device), slice(0, y.shape[1]))
    return {"base": torch.cat([seen, condition.plane.expand(len(seen), 1, *seen.shape[2:])], 1)}


@attrs.frozen(eq=False)
class DetailLayer:
    """A frozen latent model of differences.

    Attributes:
        model: its transform takes a difference of pictures in [0, 1].
        fingerprint: of its weights.
    """

    model: LatentModel
    fingerprint: bytes

    def encode(
        self,
        difference: Tensor,
        given: Given,
        quality: int,
        clock: Clock,
        tiles: Tiles,
        weight: float | None = None,
    ) -> tiled_coding.TiledLatent:
        """Code a difference ``(1, 3, H, W)`` of the original and what the base shows.

        Args:
            given: the base's latent of each tile.
            weight: bits that a squared error of one is worth, samples in [0, 1]; None rounds to nearest.
        """
        with clock("detail"):
            latent = self.model.analyse(difference, quality)
            weight = None if weight is None else in_steps(weight, quality)
            return tiled_coding.encode(
                self.model, latent, quality, Clock(), tiles, given=given, weight=weight
            )

    def added(
        self,
        picture: Tensor,
        y: Tensor,
        quality: int,
        box: Box | None = None,
        corner: tuple[int, int] = (0, 0),
    ) -> Tensor:
        """Return a picture ``(1, 3, H, W)`` in [0, 1], or a box of one, with its details (see ``LatentModel.synthesised``)."""
        h, w = picture.shape[-2:]
        added = self.model.synthesised(y, quality, box or (slice(0, h), slice(0, w)), corner)
        return (picture + added).clamp_(0, 1)
