"""The hyperprior: a small latent z that describes the scales and the means of y (arXiv 1802.01436, 1809.02736).

z lives at a quarter of y's resolution, is coded with learned tables of each channel, and becomes
features on y's grid through exact layers. Its analysis runs in the encoder only and stays float.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.parts import (
    CENTRE_FRACTION,
    FRACTION,
    Condition,
    EntropyModel,
    ExactConv,
    ExactReLU,
    Known,
    Step,
    trained_as,
)
from licframe_plugins.modules import ListOf

STRIDE = 4
_LIMIT = 64.0
"""z is clamped to this before the exact layers; trained values stay far below."""


class Hyperprior(nn.Module):
    """Side information z ``(N, hyper, ceil(h / 4), ceil(w / 4))`` and features ``(N, width, h, w)``.

    Args:
        entropy: the entropy model that codes z.
    """

    spread: Tensor

    def __init__(self, channels: int, hyper: int, width: int, entropy: EntropyModel) -> None:
        super().__init__()
        self.hyper, self.width, self.kinds = hyper, width, entropy.kinds
        self.register_buffer("spread", torch.ones(channels))
        self.analysis = ListOf(
            [
                nn.Conv2d(2 * channels + 1, width, 3, padding=1),
                nn.Conv2d(width, width, 4, stride=2, padding=1),
                nn.Conv2d(width, hyper, 4, stride=2, padding=1),
            ]
        )
        self.first = ExactConv(hyper + 1, 4 * width, 3)
        self.second = ExactConv(width, 4 * width, 3)
        self.act = ExactReLU()
        # Each channel of z has its own parameters, whatever the entropy model.
        own = torch.tensor(entropy.initial_bias)[:, None].repeat(1, hyper)
        self.own = trained_as("scale", nn.Parameter(own))

    def initialise(self, std: Tensor) -> None:
        """Take the standard deviations ``(C,)`` of the latent's channels."""
        self.spread.copy_(std + 0.08)

    def side(self, latent: Tensor, condition: Condition) -> Tensor:
        """Return z, not rounded, of a latent in coefficient units."""
        plane = condition.plane.float() * (2.0**-FRACTION if condition.exact else 1.0)
        x = (latent / self.spread[:, None, None]).clamp(-8.0, 8.0)
        h, w = x.shape[-2:]
        x = F.pad(x, (0, -w % STRIDE, 0, -h % STRIDE), mode="replicate")
        # Magnitudes tell the scales, signs the means.
        x = torch.cat([x, x.abs(), plane.expand(len(x), 1, *x.shape[2:])], 1)
        for layer in self.analysis[:-1]:
            x = F.leaky_relu(layer(x), 0.1)
        return self.analysis[-1](x).clamp(-_LIMIT, _LIMIT)

    def shape(self, h: int, w: int) -> tuple[int, int, int]:
        """Return the shape of z for a latent of h by w."""
        return self.hyper, -(-h // STRIDE), -(-w // STRIDE)

    def step(self, h: int, w: int) -> Step:
        """Return the step that codes z."""
        channels, rows, columns = self.shape(h, w)
        return Step(slice(0, rows, 1), slice(0, columns, 1), slice(0, channels), tensor="z")

    def predict(self, step: Step, known: Known) -> Tensor:
        """Return the parameters of z: learned, the same everywhere."""
        n, _, rows, columns = known["z"].shape
        raw = known.condition.constant(self.own)[None, :, :, None, None]
        return raw.expand(n, -1, -1, rows, columns)

    def features(self, known: Known) -> Tensor:
        """Return features ``(N, width, h, w)`` of a known z, in the form of the condition."""
        if "features" in known.memo:
            return known.memo["features"]
        z, condition = known["z"].clone(), known.condition
        limit = _LIMIT * (2.0**CENTRE_FRACTION if condition.exact else 1.0)
        x = condition.from_latent(z.clamp(-limit, limit))
        x = torch.cat([x, condition.plane.expand(len(x), 1, *x.shape[2:])], 1)
        x = F.pixel_shuffle(self.act(self.first(x)), 2)
        x = F.pixel_shuffle(self.act(self.second(x)), 2)
        h, w = known["y"].shape[-2:]
        known.memo["features"] = x = x[..., :h, :w].contiguous()
        return x

    def freeze(self) -> None:
        """Make the integer twins of the exact layers."""
        self.first.freeze(_LIMIT * 2.0**FRACTION)
        self.second.freeze(self.act.bound)
