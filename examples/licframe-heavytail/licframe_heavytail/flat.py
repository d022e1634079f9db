"""The simplest scheduler: one step, each channel with its own learned parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from licframe.parts import ContextScheduler, EntropyModel, Known, Step, trained_as

from .plugin import FlatOptions


class Flat(ContextScheduler):
    def __init__(
        self, options: FlatOptions, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__()
        (entropy,) = entropy_models
        self.channels, self.kinds = latent_channels, entropy.kinds
        self.initial_bias = torch.tensor(entropy.initial_bias)
        self.own = trained_as("scale", nn.Parameter(torch.zeros(len(self.kinds), latent_channels)))

    def plan(self, h: int, w: int) -> Sequence[Step]:
        return [Step(slice(0, h, 1), slice(0, w, 1), slice(0, self.channels))]

    def predict(self, step: Step, known: Known) -> Tensor:
        n, _, h, w = known["y"].shape
        raw = known.condition.constant(self.own)[None, :, :, None, None].expand(n, -1, -1, h, w)
        return known.condition.parameters(raw, self.kinds, step.channels)

    def freeze(self) -> None:
        """Constants only: nothing to prove."""

    @torch.no_grad()
    def initialise(self, latents: Tensor, std: Tensor) -> None:
        self.own.add_(self.initial_bias[:, None])
        self.own[self.kinds.index("log2_scale")] += std.clamp_min(1e-3).log2()
