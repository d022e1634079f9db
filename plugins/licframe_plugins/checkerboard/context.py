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

from licframe.parts import (
    CONTEXT_LIMIT,
    FRACTION,
    EntropyModel,
    ExactConv,
    ExactReLU,
    Known,
    ParameterAxis,
    Step,
)
from licframe_plugins.hyperprior.base import HyperpriorContext
from licframe_plugins.modules import ListOf, output_axes, output_layer

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
        self.last = output_layer(hidden, outputs)
        self.act = ExactReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.second(self.act(self.first(x)))))

    def freeze(self, bound: float) -> None:
        self.first.freeze(bound)
        self.second.freeze(self.act.bound)
        self.last.freeze(self.act.bound)


class Checkerboard(HyperpriorContext):
    """Improved checkerboard; see the module's text. Three serial passes whatever the size."""

    passes = 2

    def __init__(
        self, options: Options, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__(options, latent_channels, entropy_models)
        c, features = latent_channels, 4 * options.width
        first, second = (2 * len(kinds) * c for kinds in self.kinds)
        self.networks = ListOf(
            [
                _Network(features, 1, options.hidden, first),
                _Network(features + 4 * c, 3, options.hidden, second),
            ]
        )

    def latent_plan(self, h: int, w: int) -> Sequence[Step]:
        steps = []
        for number, slots in enumerate(_PASSES):
            for phase, (a, b) in enumerate(slots):
                if a < h and b < w:
                    rows, columns = slice(a, h, 2), slice(b, w, 2)
                    step = Step(rows, columns, slice(0, self.channels), data=phase, pass_index=number)
                    steps.append(step)
        return steps

    def serial_passes(self, h: int, w: int) -> int:
        return 1 + len(_PASSES)

    def raw(self, step: Step, known: Known) -> Tensor:
        number, condition = step.pass_index, known.condition
        if ("pass", number) not in known.memo:
            x = F.pixel_unshuffle(_even(self.hyperprior.features(known)), 2)
            if number == 1:
                seen = _even(condition.context(known["y"].clone(), slice(0, self.channels)))
                anchors = torch.cat([seen[..., a::2, b::2] for a, b in _ANCHORS], 1)
                x = torch.cat([x, anchors, anchors.abs()], 1)
            output = self.networks[number](x).unflatten(1, (2, -1, self.channels))
            known.memo["pass", number] = output
        rows, columns = (len(range(s.start, s.stop, s.step)) for s in (step.rows, step.columns))
        parameters: Tensor = known.memo["pass", number][:, step.data, ..., :rows, :columns]
        return parameters

    def freeze(self) -> None:
        super().freeze()
        self.networks[0].freeze(ExactReLU.bound)
        self.networks[1].freeze(max(ExactReLU.bound, CONTEXT_LIMIT * 2.0**FRACTION))

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        axes = dict(super().parameter_axes())
        for number in range(len(_PASSES)):
            axes |= output_axes(f"networks.{number}.last", 2, number)
        return axes


def _even(x: Tensor) -> Tensor:
    """Pad to even rows and columns with zeros."""
    h, w = x.shape[-2:]
    return F.pad(x, (0, w % 2, 0, h % 2))
