"""The simplest scheduler: one step, each channel with its own learned parameters."""

import torch
from torch import nn

from licframe.parts import ContextScheduler, Step, trained_as


class Flat(ContextScheduler):
    def __init__(self, options, latent_channels, entropy_models):
        super().__init__()
        (entropy,) = entropy_models
        self.channels, self.kinds = latent_channels, entropy.kinds
        self.start = torch.tensor(entropy.start)
        self.own = trained_as("scale", nn.Parameter(torch.zeros(len(self.kinds), latent_channels)))

    def plan(self, h, w):
        return [Step(slice(0, h, 1), slice(0, w, 1), slice(0, self.channels))]

    def predict(self, step, known):
        n, _, h, w = known["y"].shape
        raw = known.condition.constant(self.own)[None, :, :, None, None].expand(n, -1, -1, h, w)
        return known.condition.parameters(raw, self.kinds, step.channels)

    def freeze(self):
        """Constants only: nothing to prove."""

    def initialise(self, latents, std):
        with torch.no_grad():
            self.own += self.start[:, None]
            self.own[self.kinds.index("log2_scale")] += std.clamp_min(1e-3).log2()
