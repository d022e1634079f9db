"""What an error costs: distortions that codecs are trained for and latents are searched for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from licframe.model.perceptual import visible_error
from licframe.runtime.extras import require
from licframe.runtime.precision import full_precision

_MS_SSIM_WEIGHT = 1280.0
"""Weight of 1 - MS-SSIM beside that of MSE, both per lambda: the ratio of the two series that learned codecs are
usually trained with (0.0018 to 0.18, and 2.4 to 220)."""

_VISIBLE_WEIGHT = 3.0
"""Weight of what is seen: with the share below as much as the squared error at quality 50, so that rates are alike."""

_ERROR_BESIDE = 0.25
"""Share of the squared error beside what is seen, which hardly sees colours and smooth gradients."""

_MIRRORED = 16
"""Pixels by which pictures are extended before they are judged; with twice as many the borders would count double."""


class Distortion(Protocol):
    """Maps decoded and original pictures ``(N, 3, H, W)`` in [0, 1] to the distortion of each, ``(N,)``.

    It is weighted by lambda: as large as ``255^2 * MSE`` is where pictures are as good.
    """

    def __call__(self, decoded: Tensor, image: Tensor, /) -> Tensor:
        """Return the distortions, differentiable in what was decoded."""


def squared_error(decoded: Tensor, image: Tensor) -> Tensor:
    """Return ``255^2 * MSE``."""
    return 255**2 * (decoded.float() - image).square().mean((1, 2, 3))


def dissimilarity(decoded: Tensor, image: Tensor) -> Tensor:
    """Return ``1280 * (1 - MS-SSIM)``, of mirrored borders too, for patches of at least 161 pixels a side."""
    return _MS_SSIM_WEIGHT * (1 - similarity(decoded, image))


def similarity(decoded: Tensor, image: Tensor) -> Tensor:
    """Return the MS-SSIM ``(N,)`` of pictures ``(N, 3, H, W)`` in [0, 1] with mirrored borders.

    Its windows lie within the pictures and would hardly see the outermost pixels, which then learn nothing.

    Raises:
        MissingPackageError: pytorch-msssim is not installed.
    """
    ms_ssim = require("pytorch_msssim", "MS-SSIM").ms_ssim
    both = F.pad(torch.cat([decoded.float(), image.float()]), (_MIRRORED,) * 4, mode="reflect")
    with full_precision(image.device):  # variances are small differences
        x, y = both.chunk(2)
        found: Tensor = ms_ssim(x, y, data_range=1.0, size_average=False)
        return found


def visual(decoded: Tensor, image: Tensor) -> Tensor:
    """Return what is seen of the error (``perceptual.visible_error``) and a share of ``255^2 * MSE``."""
    with full_precision(image.device):
        seen = visible_error(decoded, image)
    return _VISIBLE_WEIGHT * seen + _ERROR_BESIDE * squared_error(decoded, image)


DISTORTIONS: Mapping[str, Distortion] = MappingProxyType(
    {"mse": squared_error, "ms-ssim": dissimilarity, "visual": visual}
)
"""By the name that a profile's ``[training].distortion`` gives."""
