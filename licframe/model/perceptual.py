"""What the eye sees of an error: a differentiable stand-in for SSIMULACRA2, to be trained and searched for.

Written from the published description of the metric (Sneyers, "SSIMULACRA 2", 2022, github.com/cloudinary/ssimulacra2): both
pictures in the colour space of JPEG XL, whose planes are opponent and perceptually spaced ("XYB", ISO/IEC 18181-1); at each of
several scales three maps a plane, of structure that differs, of edges that were not there and of edges that are lost; of each
the mean and the 4-norm, which sees the worst places; a weighted sum. The weights are our own, none negative: fitted to the
scores of 399 crops of photographs that JPEG, WebP, AVIF, JPEG XL and licframe had coded (docs/lab/2026-11-27-eyes.md).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 128
"""Pixels of a side below which the window does not fit into the coarsest scale."""

_CONES = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
"""What long, medium and short cones take of linear red, green and blue."""

_DARK = 0.0037930732552754493
_STABILISER = 0.0009
_RADIUS, _SIGMA = 5, 1.5

_WEIGHTS = (
    ((0, 0, 0, 0, 0, 0), (6.04, 9.93, 0, 15.2, 0, 13.9), (0, 0, 0, 0, 0, 0)),
    ((0, 0.983, 0, 0, 0, 0), (33.4, 17.6, 0, 4.5, 0, 16.1), (0, 0, 0, 0, 0, 0)),
    ((0, 0, 0, 0, 0, 0), (194, 52.1, 0, 12.9, 0, 29), (0, 5.93, 0, 0, 0, 0)),
    ((0, 0, 0, 37.3, 0, 0), (444, 50.9, 65.8, 0, 0, 0), (0, 6.85, 0, 72.9, 0, 0)),
    ((0, 0, 0, 35.9, 94.1, 30.4), (0, 0, 217, 44.9, 266, 43.6), (77.4, 33.6, 419, 219, 121, 87.5)),
)
"""By scale, the finest first; by plane: red-green, light, blue-yellow; by what ``_pooled`` returns."""


def visible_error(decoded: Tensor, image: Tensor) -> Tensor:
    """Return what is seen of the difference of pictures ``(N, 3, H, W)``, sRGB in [0, 1]: ``(N,)``, 0 for none.

    About ``((100 - SSIMULACRA2) / 10) ** 1.593``: 1 at a score of 90, 5.8 at 70, 22 at 30. Sides are at least
    ``SMALLEST``.
    """
    original, shown = (
        _linear(p.float().contiguous(memory_format=torch.channels_last)) for p in (image, decoded)
    )
    total = decoded.new_zeros(len(decoded), dtype=torch.float32)
    for scale, weights in enumerate(_constants(decoded.device)[1]):
        if scale:
            original, shown = _halved(original), _halved(shown)
        total = total + (_pooled(_opponent(original), _opponent(shown)) * weights).sum((1, 2))
    return total


@functools.cache
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cones ``(3, 3, 1, 1)`` and weights ``(scales, 3, 6)`` on a device: made once, so that a step may be recorded."""
    with torch.inference_mode(False):
        return torch.tensor(_CONES, device=device)[:, :, None, None], torch.tensor(_WEIGHTS, device=device)


def _linear(samples: Tensor) -> Tensor:
    """Return the light of sRGB samples."""
    samples = samples.clamp(0, 1)
    curved = (((samples.clamp(min=0.04045) + 0.055) / 1.055).log() * 2.4).exp()
    return torch.where(samples <= 0.04045, samples / 12.92, curved)


def _halved(light: Tensor) -> Tensor:
    return F.avg_pool2d(light, 2, ceil_mode=True, count_include_pad=False)


def _opponent(light: Tensor) -> Tensor:
    """Return planes red-green, light, blue-yellow, all positive."""
    cones = F.conv2d(light, _constants(light.device)[0]) + _DARK
    long, medium, short = ((cones.log() / 3).exp() - _DARK ** (1 / 3)).unbind(1)
    red_green, bright = (long - medium) / 2, (long + medium) / 2
    planes = torch.stack([14 * red_green + 0.42, bright + 0.01, short - bright + 0.55], 1)
    return planes.contiguous(memory_format=torch.channels_last)


def _pooled(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean and 4-norm of the maps of planes x and y ``(N, 3, h, w)``: ``(N, 3, 6)``."""
    mx, my, xx, yy, xy = _blurred(torch.cat([x, y, x * x, y * y, x * y], 1)).chunk(5, 1)
    alike = (2 * (xy - mx * my) + _STABILISER) / ((xx - mx * mx) + (yy - my * my) + _STABILISER)
    structure = (1 - (1 - (mx - my).square()) * alike).relu()
    edges = (1 + (y - my).abs()) / (1 + (x - mx).abs()) - 1
    found = []
    for each in (structure, edges.relu(), (-edges).relu()):
        fourth = each.square().square().mean((2, 3))
        # Finite slopes where nothing differs.
        found += [each.mean((2, 3)), (fourth + 1e-16) ** 0.25 - 1e-4]
    return torch.stack(found, 2)


def _blurred(planes: Tensor) -> Tensor:
    """Return planes under a Gaussian window; borders are mirrored."""
    count, r = planes.shape[1], _RADIUS
    window = torch.exp(-0.5 * (torch.arange(-r, r + 1, device=planes.device) / _SIGMA).square())
    window = (window / window.sum()).view(1, 1, 1, -1).repeat(count, 1, 1, 1)
    along = F.conv2d(F.pad(planes, (r, r, 0, 0), mode="reflect"), window, groups=count)
    return F.conv2d(F.pad(along, (0, 0, r, r), mode="reflect"), window.transpose(2, 3), groups=count)
