"""The improved checkerboard (arXiv 2309.02529; checkerboard: arXiv 2103.15306).

Half of the positions, the anchors, are predicted from the hyperprior alone; the other half from the
hyperprior and all anchors around them::

    A B A B         pass 1: A, network 1, entropy model 1 (GLLMM by default)
    B A B A         pass 2: B, network 2, entropy model 2 (Gaussian by default)
    A B A B

Two separate networks and two probability models are the paper's improvement; which model serves which
pass is not published and is chosen in the profile. Networks run on the compact grid of 2x2 blocks, so
that nothing is computed for positions that are not wanted. z is coded with the first model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.exact.layers import FRACTION, ExactConv, ExactReLU
from licframe.exact.units import CONTEXT_LIMIT, Condition
from licframe.interfaces import ContextScheduler, EntropyModel, Known, ParameterAxis, Step, trained_as
from licframe_plugins.hyperprior.context import own_start
from licframe_plugins.hyperprior.hyperprior import Hyperprior

from .plugin import Options

_ANCHORS = ((0, 0), (1, 1))
_OTHERS = ((0, 1), (1, 0))
_PASSES = (_ANCHORS, _OTHERS)


class _Network(nn.Module):
    """Parameters of two slots of every 2x2 block: a hidden layer and an output layer."""

    def __init__(self, inputs: int, kernel: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = ExactConv(inputs, hidden, kernel)
        self.second = ExactConv(hidden, hidden, 1)
        self.last = ExactConv(hidden, outputs, 1)
        nn.init.zeros_(self.last.weight)
        trained_as("output", self.last.weight)
        self.act = ExactReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.second(self.act(self.first(x)))))

    def freeze(self, bound: float) -> None:
        self.first.freeze(bound)
        self.second.freeze(self.act.bound)
        self.last.freeze(self.act.bound)


class Checkerboard(ContextScheduler):
    """Improved checkerboard; see the module's text. Three serial passes whatever the size."""

    passes = 2

    def __init__(
        self, options: Options, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__()
        self.channels = c = latent_channels
        self.kinds = [model.kinds for model in entropy_models]
        self.starts = [torch.tensor(model.start) for model in entropy_models]
        self.hyperprior = Hyperprior(c, options.hyper, options.width, entropy_models[0])
        features = 4 * options.width
        self.networks = nn.ModuleList(
            [
                _Network(features, 1, options.hidden, 2 * len(self.kinds[0]) * c),
                _Network(features + 4 * c, 3, options.hidden, 2 * len(self.kinds[1]) * c),
            ]
        )
        self.own = nn.ParameterList(
            trained_as("scale", nn.Parameter(torch.zeros(len(kinds), c))) for kinds in self.kinds
        )

    def side(self, latent: Tensor, condition: Condition) -> dict[str, Tensor]:
        return {"z": self.hyperprior.side(latent, condition)}

    def side_shapes(self, h: int, w: int) -> dict[str, tuple[int, int, int]]:
        return {"z": self.hyperprior.shape(h, w)}

    def plan(self, h: int, w: int) -> Sequence[Step]:
        steps = [self.hyperprior.step(h, w)]
        for number, slots in enumerate(_PASSES):
            for phase, (a, b) in enumerate(slots):
                if a < h and b < w:
                    rows, columns = slice(a, h, 2), slice(b, w, 2)
                    step = Step(rows, columns, slice(0, self.channels), phase=phase, pass_index=number)
                    steps.append(step)
        return steps

    def serial_passes(self, h: int, w: int) -> int:
        return 1 + len(_PASSES)

    def predict(self, step: Step, known: Known) -> Tensor:
        if step.tensor == "z":
            return self.hyperprior.predict(step, known)
        number, condition = step.pass_index, known.condition
        if ("pass", number) not in known.memo:
            x = F.pixel_unshuffle(_even(self.hyperprior.features(known)), 2)
            if number == 1:
                seen = _even(condition.context(known["y"].clone(), slice(0, self.channels)))
                anchors = torch.cat([seen[..., a::2, b::2] for a, b in _ANCHORS], 1)
                x = torch.cat([x, anchors, anchors.abs()], 1)
            output = self.networks[number](x).unflatten(1, (2, len(self.kinds[number]), -1))
            known.memo["pass", number] = output
        rows, columns = (len(range(s.start, s.stop, s.step)) for s in (step.rows, step.columns))
        raw = known.memo["pass", number][:, step.phase, ..., :rows, :columns]
        raw = raw + condition.constant(self.own[number])[..., None, None]
        return condition.parameters(raw, self.kinds[number], step.channels)

    def freeze(self) -> None:
        self.hyperprior.freeze()
        self.networks[0].freeze(ExactReLU.bound)
        self.networks[1].freeze(max(ExactReLU.bound, CONTEXT_LIMIT * 2.0**FRACTION))

    def initialise(self, latents: Tensor, std: Tensor) -> None:
        self.hyperprior.initialise(std)
        with torch.no_grad():
            for own, kinds, start in zip(self.own, self.kinds, self.starts, strict=True):
                own.add_(own_start(kinds, start, std))

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        axes = {"hyperprior.own": ParameterAxis(0, table=True)}
        for number in range(len(_PASSES)):
            axes[f"own.{number}"] = ParameterAxis(0, table=True, pass_index=number)
            axes[f"networks.{number}.last.weight"] = ParameterAxis(0, 2, pass_index=number)
            axes[f"networks.{number}.last.bias"] = ParameterAxis(1, 2, pass_index=number)
        return axes


def _even(x: Tensor) -> Tensor:
    """Pad to even rows and columns with zeros."""
    h, w = x.shape[-2:]
    return F.pad(x, (0, w % 2, 0, h % 2))
