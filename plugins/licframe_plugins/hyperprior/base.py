"""What schedulers with a hyperprior share: z first, then steps of y whose networks see the features of z.

What networks give for y is added to each channel's own parameters, which start at the statistics of the channel.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from licframe.parts import Condition, ContextScheduler, EntropyModel, Known, ParameterAxis, Step, trained_as

from .hyperprior import Hyperprior
from .plugin import Options


class HyperpriorContext(ContextScheduler):
    """Code z, then y from the features of z and what else a subclass sees.

    A subclass builds its networks after ``super().__init__``, says in ``latent_plan`` in which steps y is coded, and
    in ``raw`` what the networks give for one. It adds its layers to ``freeze`` and ``parameter_axes``. z is coded with
    the first entropy model.

    Attributes:
        channels: of y.
        kinds: what the P parameters of each pass's entropy model are.
        own: each channel's parameters ``(P, channels)``; a list of them where there are several passes.
    """

    def __init__(
        self, options: Options, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__()
        self.channels = latent_channels
        self.kinds = [model.kinds for model in entropy_models]
        self._initial = [torch.tensor(model.initial_bias) for model in entropy_models]
        self.hyperprior = Hyperprior(latent_channels, options.hyper, options.width, entropy_models[0])
        own = [
            trained_as("scale", nn.Parameter(torch.zeros(len(kinds), latent_channels)))
            for kinds in self.kinds
        ]
        # The names in weights files: "own" of a single pass, "own.0" and so on of several.
        self.own = own[0] if len(own) == 1 else nn.ParameterList(own)

    @abstractmethod
    def latent_plan(self, h: int, w: int) -> Sequence[Step]:
        """Return the steps that cover y."""

    @abstractmethod
    def raw(self, step: Step, known: Known) -> Tensor:
        """Return what the networks give for a step of y, ``(N, P, channels, rows, columns)``."""

    def plan(self, h: int, w: int) -> Sequence[Step]:
        return [self.hyperprior.step(h, w), *self.latent_plan(h, w)]

    def predict(self, step: Step, known: Known) -> Tensor:
        if step.tensor == "z":
            return self.hyperprior.predict(step, known)
        return self.converted(self.raw(step, known), step, known.condition)

    def converted(self, raw: Tensor, step: Step, condition: Condition) -> Tensor:
        """Return the parameters of a step of y, in the units of its entropy model, from what networks give."""
        own = condition.constant(self._tables()[step.pass_index])[..., None, None]
        return condition.parameters(raw + own, self.kinds[step.pass_index], step.channels)

    def side(self, latent: Tensor, condition: Condition) -> dict[str, Tensor]:
        return {"z": self.hyperprior.side(latent, condition)}

    def side_shapes(self, h: int, w: int) -> dict[str, tuple[int, int, int]]:
        return {"z": self.hyperprior.shape(h, w)}

    def freeze(self) -> None:
        self.hyperprior.freeze()

    @torch.no_grad()
    def initialise(self, latents: Tensor, std: Tensor) -> None:
        self.hyperprior.initialise(std)
        for own, kinds, bias in zip(self._tables(), self.kinds, self._initial, strict=True):
            own.add_(bias[:, None])
            for p, kind in enumerate(kinds):
                if kind == "log2_scale":
                    own[p].add_(std.clamp_min(1e-3).log2())

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        names = ["own"] if len(self.kinds) == 1 else [f"own.{number}" for number in range(len(self.kinds))]
        own = {name: ParameterAxis(0, table=True, pass_index=number) for number, name in enumerate(names)}
        return {"hyperprior.own": ParameterAxis(0, table=True), **own}

    def _tables(self) -> Sequence[Tensor]:
        return list(self.own) if isinstance(self.own, nn.ParameterList) else [self.own]
