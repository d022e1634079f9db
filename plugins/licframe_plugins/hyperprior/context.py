"""Side information only: z, then the whole latent at once (arXiv 1802.01436 with means, 1809.02736)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from licframe.parts import EntropyModel, ExactConv, ExactReLU, Known, ParameterAxis, Step
from licframe_plugins.modules import output_axes, output_layer

from .base import HyperpriorContext
from .plugin import Options


class HyperpriorScheduler(HyperpriorContext):
    """Predict every element from z alone; two serial passes."""

    passes = 1

    def __init__(
        self, options: Options, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__(options, latent_channels, entropy_models)
        self.hidden = ExactConv(options.width, options.hidden, 1)
        self.output = output_layer(options.hidden, len(self.kinds[0]) * latent_channels)
        self.act = ExactReLU()

    def latent_plan(self, h: int, w: int) -> Sequence[Step]:
        return [Step(slice(0, h, 1), slice(0, w, 1), slice(0, self.channels))]

    def raw(self, step: Step, known: Known) -> Tensor:
        output = self.output(self.act(self.hidden(self.hyperprior.features(known))))
        return output.unflatten(1, (-1, self.channels))

    def freeze(self) -> None:
        super().freeze()
        self.hidden.freeze(self.act.bound)
        self.output.freeze(self.act.bound)

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        return {**super().parameter_axes(), **output_axes("output")}
