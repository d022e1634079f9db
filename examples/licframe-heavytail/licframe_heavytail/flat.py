"""A context scheduler: the order in which a latent is coded, and what each step predicts from the steps before.

What a scheduler must have:

1. ``plan``: steps that cover every element of a ``(C, h, w)`` latent exactly once. It depends on the shape only, so that
   encoder and decoder hold the same one.
2. ``predict``: the parameters ``(N, P, c, rows, columns)`` of a step's elements, from what is known: ``known["y"]`` has the
   values of the steps before, and zeros elsewhere. P is the number of kinds of parameters of the entropy model.
3. ``freeze``: the switch to integers. Layers that see known values are those of ``licframe.parts`` (``ExactConv``,
   ``ExactReLU``), and each is frozen here. It then proves that its sums are exact.

``known.condition`` converts: the raw outputs of networks to parameters at the quality in use, in float and in integers. What
it may have: ``initialise``, which sees some latents before training; ``predict_all``, all steps at once, for fast training.

Here all is one step, and each channel has its own learned parameters: no neighbour is looked at. Where to go on: two
steps, a checkerboard, and an ``ExactConv`` over ``known["y"]`` in the second.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from licframe.parts import ContextScheduler, EntropyModel, Known, Step, trained_as

from .plugin import FlatOptions


class Flat(ContextScheduler):
    """One step, each channel with its own learned parameters."""

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
