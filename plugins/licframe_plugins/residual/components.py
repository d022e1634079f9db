"""Principal components of image patches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def principal_components(images: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the components of ``size x size x 3`` patches, strongest first.

    The covariance is that of pixels minus 1/2 about zero, symmetrised over flips and transposition,
    so that components do not prefer an orientation.

    Args:
        images: ``(N, 3, H, W)`` in [0, 1]; H and W are multiples of ``size``.

    Returns:
        Rows ``(3 * size^2, 3 * size^2)``, orthonormal, channel-major like ``F.pixel_unshuffle``, and
        the mean square of each, both float64.
    """
    patches = F.pixel_unshuffle(images - 0.5, size).transpose(0, 1).flatten(1)
    covariance = torch.zeros(len(patches), len(patches), dtype=torch.float64)
    for chunk in patches.split(65536, dim=1):
        covariance += (chunk @ chunk.T).double()
    covariance /= patches.shape[1]
    position = torch.arange(3 * size * size).reshape(3, size, size)
    for order in (position.flip(2), position.flip(1), position.transpose(1, 2)):
        p = order.flatten()
        covariance = (covariance + covariance[p][:, p]) / 2
    variance, vectors = torch.linalg.eigh(covariance)
    basis = vectors.T.flip(0)
    # A sign is arbitrary: make the largest entry positive, so that results repeat.
    peak = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    return basis * peak.sign(), variance.flip(0).clamp_min(0)
