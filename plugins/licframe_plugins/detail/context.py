"""The context of block coefficients: magnitudes around them, and what a base latent shows of their place.

Blocks are coded in four phases of a 2x2 pattern, low frequencies before high ones, so that the number of passes does not
grow with the picture::

    0 2     phase 1 sees the diagonal neighbours of the same frequencies, phase 2 those beside, above and below, phase 3
    3 1     all eight; of lower frequencies every phase sees the block itself and all eight

The sign of a coefficient is as good as random; only scales are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.parts import (
    CONTEXT_LIMIT,
    FRACTION,
    ContextScheduler,
    EntropyModel,
    ExactConv,
    ExactReLU,
    Known,
    ParameterAxis,
    Step,
    trained_as,
)
from licframe_plugins.modules import ListOf, output_axes, output_layer

from .plugin import BlockContextOptions

_PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))
_BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))
_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_ALL = (3, 1)
_WEIGHTS = ((0, 0), (0, 4), (4, 0), _ALL)
"""Sixteenths of the neighbours beside and across that each phase knows of its own frequencies."""


class _Network(nn.Module):
    """Scales of one group: two hidden layers, the first with a bias for each phase."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = ExactConv(inputs, hidden, rows=len(_PHASES))
        self.second = ExactConv(hidden, hidden)
        self.last = output_layer(hidden, outputs)
        self.act = ExactReLU()

    def forward(self, x: Tensor, phase: int) -> Tensor:
        result: Tensor = self.last(self.act(self.second(self.act(self.first(x, phase)))))
        return result

    def freeze(self) -> None:
        self.first.freeze(max(self.act.bound, CONTEXT_LIMIT * 2.0**FRACTION))
        self.second.freeze(self.act.bound)
        self.last.freeze(self.act.bound)


class BlockContext(ContextScheduler):
    """See the module's text. ``known.given["base"]``, where there is one, holds the base's latent in network units."""

    def __init__(
        self, options: BlockContextOptions, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__()
        self.channels, self.base = latent_channels, options.base
        self.kinds = entropy_models[0].kinds
        inside = [g for g in options.groups if g < latent_channels]
        self.groups = [slice(a, b) for a, b in pairwise([0, *inside, latent_channels])]
        self._initial = torch.tensor(entropy_models[0].initial_bias)
        self.own = trained_as("scale", nn.Parameter(torch.zeros(len(self.kinds), latent_channels)))
        # Its magnitudes, how well it was coded, and how well the details are.
        self.of_base = ExactConv(options.base + 2, options.hidden)
        self.up = ExactConv(options.hidden, 4 * options.width)
        self.act = ExactReLU()
        self.networks = ListOf(
            _Network(options.width + g.start + g.stop, options.hidden, len(self.kinds) * (g.stop - g.start))
            for g in self.groups
        )

    def plan(self, h: int, w: int) -> Sequence[Step]:
        steps: list[Step] = []
        for group, channels in enumerate(self.groups):
            for phase, (a, b) in enumerate(_PHASES):
                if a < h and b < w:
                    data = (group, phase, len(steps))
                    steps.append(Step(slice(a, h, 2), slice(b, w, 2), channels, data=data))
        return steps

    def predict(self, step: Step, known: Known) -> Tensor:
        group, phase, number = step.data
        magnitudes = self._magnitudes(known, number)
        place = (slice(None), slice(None), step.rows, step.columns)
        own = slice(0, step.channels.start)
        seen = [self._base_features(known)[place], magnitudes[:, own][place]]
        seen += [
            _around(magnitudes[:, channels], step, weights)
            for channels, weights in ((own, _ALL), (step.channels, _WEIGHTS[phase]))
        ]
        raw = self.networks[group](torch.cat(seen, 1), phase).unflatten(1, (len(self.kinds), -1))
        own_parameters = known.condition.constant(self.own[:, step.channels])[..., None, None]
        return known.condition.parameters(raw + own_parameters, self.kinds, step.channels)

    def _magnitudes(self, known: Known, number: int) -> Tensor:
        """Return magnitudes in network units of all steps before one, zero elsewhere."""
        if "magnitudes" not in known.memo:
            known.memo["magnitudes"] = torch.zeros_like(known["y"]), 0
        magnitudes, done = known.memo["magnitudes"]
        for step in self.plan(*known["y"].shape[-2:])[done:number]:
            magnitudes[step.index] = known.condition.context(known.read(step), step.channels).abs_()
        known.memo["magnitudes"] = magnitudes, number
        found: Tensor = magnitudes
        return found

    def _base_features(self, known: Known) -> Tensor:
        """Return what the base shows of every block, ``(N, width, h, w)``."""
        if "base" not in known.memo:
            y = known["y"]
            n, _, h, w = y.shape
            size = (n, -1, -(-h // 2), -(-w // 2))
            plane = known.condition.plane.expand(n, 1, *size[2:])
            base = known.given.get("base")
            if base is None or not self.base:
                base = y.new_zeros(n, self.base + 1, *size[2:])
            x = torch.cat([base.abs(), plane.to(base.dtype)], 1)
            x = self.act(self.up(self.act(self.of_base(x))))
            known.memo["base"] = F.pixel_shuffle(x, 2)[..., :h, :w]
        features: Tensor = known.memo["base"]
        return features

    def freeze(self) -> None:
        self.of_base.freeze(CONTEXT_LIMIT * 2.0**FRACTION)
        self.up.freeze(self.act.bound)
        for network in self.networks:
            network.freeze()

    @torch.no_grad()
    def initialise(self, latents: Tensor, std: Tensor) -> None:
        self.own.add_(self._initial[:, None])
        for p, kind in enumerate(self.kinds):
            if kind == "log2_scale":
                self.own[p].add_(std.clamp_min(1e-3).log2())

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        axes = {"own": ParameterAxis(0, table=True)}
        for number in range(len(self.groups)):
            axes |= output_axes(f"networks.{number}.last")
        return axes


def _around(x: Tensor, step: Step, weights: tuple[int, int]) -> Tensor:
    """Return weighted means of the eight neighbours of a step's blocks, ``(N, c, rows, columns)``."""
    beside, across = weights
    n, c, h, w = x.shape
    rows, columns = (len(range(s.start, s.stop, s.step)) for s in (step.rows, step.columns))
    if not c or not (beside or across):
        return x.new_zeros(n, c, rows, columns)
    padded = F.pad(x, (1, 1, 1, 1))
    total: Any = 0
    for weight, places in ((beside, _BESIDE), (across, _DIAGONAL)):
        if weight:
            seen = [
                padded[
                    ..., 1 + step.rows.start + a : 1 + h + a : 2, 1 + step.columns.start + b : 1 + w + b : 2
                ]
                for a, b in places
            ]
            total = total + weight * (seen[0] + seen[1] + seen[2] + seen[3])
    mean: Tensor = total / 16
    return mean.floor() if mean.dtype == torch.float64 else mean
