"""Side information only: z, then the whole latent at once (arXiv 1802.01436 with means, 1809.02736)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from licframe.exact.layers import ExactConv, ExactReLU
from licframe.exact.units import Condition
from licframe.interfaces import ContextScheduler, EntropyModel, Known, ParameterAxis, Step, trained_as

from .hyperprior import Hyperprior
from .plugin import Options


class HyperpriorScheduler(ContextScheduler):
    """Predict every element from z alone; two serial passes."""

    passes = 1

    def __init__(
        self, options: Options, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__()
        (entropy,) = entropy_models
        self.channels, self.kinds = latent_channels, entropy.kinds
        self.start = torch.tensor(entropy.start)
        self.hyperprior = Hyperprior(latent_channels, options.hyper, options.width, entropy)
        self.hidden = ExactConv(options.width, options.hidden, 1)
        self.output = ExactConv(options.hidden, len(self.kinds) * latent_channels, 1)
        nn.init.zeros_(self.output.weight)
        trained_as("output", self.output.weight)
        self.act = ExactReLU()
        self.own = trained_as("scale", nn.Parameter(torch.zeros(len(self.kinds), latent_channels)))

    def side(self, latent: Tensor, condition: Condition) -> dict[str, Tensor]:
        return {"z": self.hyperprior.side(latent, condition)}

    def side_shapes(self, h: int, w: int) -> dict[str, tuple[int, int, int]]:
        return {"z": self.hyperprior.shape(h, w)}

    def plan(self, h: int, w: int) -> Sequence[Step]:
        everything = Step(slice(0, h, 1), slice(0, w, 1), slice(0, self.channels))
        return [self.hyperprior.step(h, w), everything]

    def predict(self, step: Step, known: Known) -> Tensor:
        if step.tensor == "z":
            return self.hyperprior.predict(step, known)
        raw = self.output(self.act(self.hidden(self.hyperprior.features(known))))
        raw = raw.unflatten(1, (len(self.kinds), -1))
        raw = raw + known.condition.constant(self.own)[..., None, None]
        return known.condition.parameters(raw, self.kinds, step.channels)

    def freeze(self) -> None:
        self.hyperprior.freeze()
        self.hidden.freeze(self.act.bound)
        self.output.freeze(self.act.bound)

    def initialise(self, latents: Tensor, std: Tensor) -> None:
        self.hyperprior.initialise(std)
        with torch.no_grad():
            self.own += own_start(self.kinds, self.start, std)

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        return SINGLE_OUTPUT


SINGLE_OUTPUT = {
    "hyperprior.own": ParameterAxis(0, table=True),
    "own": ParameterAxis(0, table=True),
    "output.weight": ParameterAxis(0),
    "output.bias": ParameterAxis(1),
}
"""Of a scheduler with this hyperprior, one ``output`` layer and a table ``own``."""


def own_start(kinds: Sequence[str], start: Tensor, std: Tensor) -> Tensor:
    """Return each channel's parameters ``(P, C)`` before training: its scale, and the model's own start."""
    own = start[:, None].repeat(1, len(std))
    for p, kind in enumerate(kinds):
        if kind == "log2_scale":
            own[p] += std.clamp_min(1e-3).log2()
    return own
