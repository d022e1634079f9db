"""The multi-scale progressive probability model (MSP), arXiv 2210.04112.

The paper does not publish its networks; what follows is our reading, with sizes as options.

The latent is sub-sampled by two, ``levels`` times: level k keeps every 2^k-th sample, so a coarse
level is a subset of the samples and nothing is coded twice. The coarsest is coded with learned
per-channel tables; it takes the place of a hyperprior. Each finer level then adds its three new
positions, in two or three phases::

    level k, one 2x2 block        phases = 2          phases = 3
        known   (0,1)              K  2                K  2
        (1,0)   (1,1)              2  1                3  1

A phase is predicted by a network that runs on the grid of the coarser level (the 2x2 blocks laid
out as channels), so all steps together cost about as much as one network on the full grid. Within
a phase the channels are coded in a few groups; each sees the groups before it at the same place.
The number of steps does not depend on the image: O(1) serial passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import attrs
import torch
from torch import Tensor, nn

from licframe.parts import (
    CONTEXT_LIMIT,
    FRACTION,
    ContextScheduler,
    EntropyModel,
    ExactConv,
    ExactReLU,
    Known,
    ParameterAxis,
    ProfileError,
    Step,
    trained_as,
)
from licframe_plugins.modules import ListOf, output_axes, output_layer

from .blocks import Blocks, rows_of
from .grid import PHASES, Slot, average, count, nearest, slot_of
from .plugin import Options


class _Trunk(nn.Module):
    """Features of one phase from all known slots: 1x1, then residual 3x3 layers."""

    def __init__(self, inputs: int, width: int, blocks: int, levels: int) -> None:
        super().__init__()
        self.first = ExactConv(inputs, width, 1, rows=levels)
        self.blocks = ListOf(ExactConv(width, width, 3, rows=levels) for _ in range(blocks))
        self.act = ExactReLU()

    def forward(self, x: Tensor, level: int) -> Tensor:
        x = self.act(self.first(x, level))
        for block in self.blocks:
            x = self.act(x + block(x, level))
        return x

    def rows(self, x: Tensor, of: Blocks) -> Tensor:
        """Return the same for the blocks of all levels, ``(N, K, width)``."""
        x = self.act(self.first.rows(x, of.levels))
        for block in self.blocks:
            seen = rows_of(x, of.around).unflatten(1, (-1, 9)).flatten(2)
            x = self.act(x + block.rows(seen, of.levels))
        return x

    def freeze(self, bound: float) -> None:
        self.first.freeze(bound)
        for block in self.blocks:
            block.freeze(self.act.bound)


class _Head(nn.Module):
    """Parameters of one channel group from the trunk and the groups known at the same place."""

    def __init__(self, inputs: int, width: int, outputs: int, levels: int) -> None:
        super().__init__()
        self.first = ExactConv(inputs, width, 1, rows=levels)
        self.last = output_layer(width, outputs, rows=levels)
        self.act = ExactReLU()

    def forward(self, x: Tensor, level: int) -> Tensor:
        return self.last(self.act(self.first(x, level)), level)

    def rows(self, x: Tensor, of: Blocks) -> Tensor:
        """Return the same for the blocks of all levels, ``(N, K, outputs)``."""
        return self.last.rows(self.act(self.first.rows(x, of.levels)), of.levels)

    def freeze(self, bound: float) -> None:
        self.first.freeze(bound)
        self.last.freeze(self.act.bound)


@attrs.frozen
class Place:
    """Where a step stands in its level: phase, and group of channels."""

    phase: int = 0
    group: int = 0


class MultiScaleProgressive(ContextScheduler):
    """MSP (arXiv 2210.04112); see the module's text. Steps: ``1 + levels * phases * groups``."""

    passes = 1

    def __init__(
        self, options: Options, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__()
        (entropy,) = entropy_models
        self.options = options
        self.kinds = entropy.kinds
        self.initial_bias = torch.tensor(entropy.initial_bias)
        edges = [0, *options.groups, latent_channels]
        if edges != sorted(set(edges)):
            raise ProfileError(
                f"[context_scheduler].groups is {list(options.groups)}; use ascending channel numbers above 0 and "
                f"below the transform's {latent_channels}"
            )
        self.groups = [slice(a, b) for a, b in pairwise(edges)]
        self.phases = PHASES[options.phases]
        levels, c, p = options.levels, latent_channels, len(self.kinds)
        # Own parameters of each channel: of the base level, and what a prediction is added to.
        self.base = trained_as("scale", nn.Parameter(torch.zeros(p, c)))
        self.own = trained_as("scale", nn.Parameter(torch.zeros(levels, len(self.phases), p, c)))
        blend = torch.zeros(levels, len(self.phases), c)
        # Of no use to an entropy model without a centre.
        self.blend = trained_as("scale", nn.Parameter(blend, requires_grad="centre" in self.kinds))
        self._made: dict[tuple[int, int, torch.device], Blocks] = {}
        self.trunks: ListOf[_Trunk] = ListOf()
        self.heads: ListOf[ListOf[_Head]] = ListOf()
        for phase, targets in enumerate(self.phases):
            inputs = 2 * c * len(self._slots(phase)) + 1
            self.trunks.append(_Trunk(inputs, options.width, options.blocks, levels))
            heads: ListOf[_Head] = ListOf()
            for group in self.groups:
                size = group.stop - group.start
                inputs = options.width + 2 * group.start * len(targets)
                heads.append(_Head(inputs, options.hidden, p * size * len(targets), levels))
            self.heads.append(heads)

    def levels_of(self, h: int, w: int) -> int:
        """Return how many levels a grid gets: until its base is two wide, ``levels`` at most."""
        return min(self.options.levels, max(0, (max(h, w) - 1).bit_length() - 1))

    def plan(self, h: int, w: int) -> Sequence[Step]:
        top = self.levels_of(h, w)
        everything = slice(0, self.groups[-1].stop)
        stride = 2**top
        steps = [Step(slice(0, h, stride), slice(0, w, stride), everything, level=top)]
        for level in reversed(range(top)):
            for phase, targets in enumerate(self.phases):
                for number, group in enumerate(self.groups):
                    for a, b in targets:
                        rows = slice(a * 2**level, h, 2 ** (level + 1))
                        columns = slice(b * 2**level, w, 2 ** (level + 1))
                        if rows.start < h and columns.start < w:
                            steps.append(Step(rows, columns, group, level, data=Place(phase, number)))
        return steps

    def serial_passes(self, h: int, w: int) -> int:
        return 1 + self.levels_of(h, w) * len(self.phases) * len(self.groups)

    def predict(self, step: Step, known: Known) -> Tensor:
        condition = known.condition
        y = known["y"]
        n, _, h, w = y.shape
        rows, columns = count(step.rows), count(step.columns)
        if step.level == self.levels_of(h, w):
            raw = condition.constant(self.base)[None, :, step.channels, None, None]
            raw = raw.expand(n, -1, -1, rows, columns)
            return condition.parameters(raw, self.kinds, step.channels)
        slot = (step.rows.start >> step.level, step.columns.start >> step.level)
        targets = self.phases[step.data.phase]
        output = self._head(step, known)[:, targets.index(slot)]
        near = self._neighbours(step, slot, known)[..., :rows, :columns]
        return condition.parameters(output[..., :rows, :columns], self.kinds, step.channels, near)

    def predict_all(self, known: Known, values: Mapping[str, Tensor]) -> Iterator[tuple[Step, Tensor]]:
        condition, y = known.condition, values["y"]
        h, w = y.shape[-2:]
        base = self.plan(h, w)[0]
        yield base, self.predict(base, known)
        if base.level == 0:
            return
        blocks = self._blocks(h, w, y.device)
        elements = y.flatten(2).transpose(1, 2)
        context = condition.context(y, slice(0, y.shape[1])).flatten(2).transpose(1, 2)
        seen = {slot: rows_of(context, index) for slot, index in blocks.slots.items()}
        strength = {slot: value.abs() for slot, value in seen.items()}
        plane = condition.plane[:, 0].expand(-1, len(blocks.levels), 1)
        predicted = []
        for phase, targets in enumerate(self.phases):
            slots = self._slots(phase)
            x = torch.cat([*(seen[s] for s in slots), *(strength[s] for s in slots), plane], 2)
            x = self.trunks[phase].rows(x, blocks)
            outputs = []
            for group, head in zip(self.groups, self.heads[phase], strict=True):
                before = [part[s][..., : group.start] for part in (seen, strength) for s in targets]
                output = head.rows(torch.cat([x, *before], 2), blocks)
                outputs.append(output.unflatten(2, (len(targets), len(self.kinds), -1)))
            raw = torch.cat(outputs, 4)
            predicted += [blocks.real(raw[:, :, number], slot) for number, slot in enumerate(targets)]
        raw = torch.cat(predicted, 1) + self.own[blocks.level, blocks.phase]
        near = rows_of(elements, blocks.nearest).unflatten(1, (4, -1)).mean(1)
        near = near * self.blend[blocks.level, blocks.phase]
        raw, near = (t.movedim(1, -1).contiguous()[..., None, :] for t in (raw, near))
        yield blocks.step, condition.parameters(raw, self.kinds, blocks.step.channels, near)

    def _blocks(self, h: int, w: int, device: torch.device) -> Blocks:
        """Return where what is, made once for each size of a latent."""
        key = (h, w, device)
        if key not in self._made:
            everything = slice(0, self.groups[-1].stop)
            sizes = h, w, self.levels_of(h, w), self.options.levels
            self._made[key] = Blocks(*sizes, everything, self.phases, device)
        return self._made[key]

    def freeze(self) -> None:
        bound = CONTEXT_LIMIT * 2.0**FRACTION
        for trunk, heads in zip(self.trunks, self.heads, strict=True):
            trunk.freeze(bound)
            for head in heads:
                head.freeze(max(bound, ExactReLU.bound))

    def initialise(self, latents: Tensor, std: Tensor) -> None:
        """Set the channels' own scales and how far neighbours predict each channel."""
        scales = [p for p, kind in enumerate(self.kinds) if kind == "log2_scale"]
        with torch.no_grad():
            self.base.add_(self.initial_bias[:, None])
            self.own.add_(self.initial_bias[:, None])
            self.base[scales] += std.clamp_min(1e-3).log2()
            for level in range(self.options.levels):
                grid = latents[:, :, :: 2**level, :: 2**level]
                if min(grid.shape[-2:]) < 4:
                    self.blend[level] = self.blend[level - 1]
                    self.own[level] = self.own[level - 1]
                    continue
                for phase, targets in enumerate(self.phases):
                    samples = {slot: slot_of(grid, slot) for slot in self._slots(phase)}
                    x = torch.cat([average(samples, target) for target in targets], -1)
                    t = torch.cat([slot_of(grid, target) for target in targets], -1)
                    blend = (x * t).sum((0, 2, 3)) / (x * x).sum((0, 2, 3)).clamp_min(1e-6)
                    self.blend[level, phase] = blend
                    left = t - blend[:, None, None] * x
                    self.own[level, phase, scales] += left.std((0, 2, 3)).clamp_min(1e-3).log2()

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        axes = {"base": ParameterAxis(0, table=True), "own": ParameterAxis(2, table=True)}
        for phase, targets in enumerate(self.phases):
            for group in range(len(self.groups)):
                axes |= output_axes(f"heads.{phase}.{group}.last", len(targets))
        return axes

    # -- inside -------------------------------------------------------------------------------

    def _slots(self, phase: int) -> list[Slot]:
        """Return the slots that are known when a phase begins."""
        return [(0, 0), *(slot for targets in self.phases[:phase] for slot in targets)]

    def _slot(self, known: Known, level: int, slot: Slot, channels: slice) -> Tensor:
        """Return the known samples of one slot; where gradients need them, later steps do not change them."""
        return slot_of(known["y"][:, channels, :: 2**level, :: 2**level], slot)

    def _complete(self, known: Known, level: int, slot: Slot) -> Tensor:
        """Return all channels of a slot that is known: read once, for the gradient of a read is as large as the latent."""
        if known.memo.get("slots", (None,))[0] != level:
            known.memo["slots"] = (level, {})
        slots: dict[Slot, Tensor] = known.memo["slots"][1]
        if slot not in slots:
            slots[slot] = self._slot(known, level, slot, slice(None))
        return slots[slot]

    def _constants(self, known: Known, name: str) -> Tensor:
        """Return a table of learned constants in the form of the condition, converted once for all steps."""
        if name not in known.memo:
            known.memo[name] = known.condition.constant(getattr(self, name))
        constants: Tensor = known.memo[name]
        return constants

    def _neighbours(self, step: Step, target: Slot, known: Known) -> Tensor:
        """Return the blended average of the nearest known samples, as a centre."""
        samples = {
            slot: self._complete(known, step.level, slot)[:, step.channels]
            for slot in nearest(self._slots(step.data.phase), target)
        }
        mean = average(samples, target)
        blend = self._constants(known, "blend")[step.level, step.data.phase, step.channels, None, None]
        if known.condition.exact:
            # Two or four integers are averaged and the blend has few bits: only the floor rounds.
            return mean.mul_(known.condition.from_latent(blend) * 2.0**-FRACTION).floor_()
        return mean * blend

    def _seen(
        self, known: Known, samples: Sequence[Tensor], channels: slice, *, plane: bool = False
    ) -> Tensor:
        """Return known samples as a network sees them, the same without their signs, and the quality's plane."""
        condition = known.condition
        n, c, h, w = samples[0].shape
        if not condition.exact:
            values = [condition.context(sample, channels) for sample in samples]
            planes = [condition.plane.expand(n, 1, h, w)] if plane else []
            return torch.cat([*values, *(value.abs() for value in values), *planes], 1)
        seen = samples[0].new_empty(n, 2 * len(samples) * c + plane, h, w)
        for number, sample in enumerate(samples):
            value = condition.context(sample, channels, out=seen[:, number * c : (number + 1) * c])
            start = (len(samples) + number) * c
            torch.abs(value, out=seen[:, start : start + c])
        if plane:
            seen[:, -1:] = condition.plane
        return seen

    def _head(self, step: Step, known: Known) -> Tensor:
        """Return outputs ``(N, targets, P, c, rows, columns)`` of one group, both slots at once."""
        key = (step.level, step.data.phase)
        condition, level = known.condition, step.level
        if known.memo.get("head", (None,))[0] == (*key, step.data.group):
            return known.memo["head"][1]
        everything = slice(0, self.groups[-1].stop)
        if known.memo.get("trunk", (None,))[0] != key:
            samples = [self._complete(known, level, slot) for slot in self._slots(step.data.phase)]
            seen = self._seen(known, samples, everything, plane=True)
            known.memo["trunk"] = (key, self.trunks[step.data.phase](seen, level))
        inputs = [known.memo["trunk"][1]]
        targets = self.phases[step.data.phase]
        if step.data.group:
            before = slice(0, self.groups[step.data.group].start)
            samples = [self._slot(known, level, slot, before) for slot in targets]
            inputs.append(self._seen(known, samples, before))
        x = torch.cat(inputs, 1) if step.data.group else inputs[0]
        output = self.heads[step.data.phase][step.data.group](x, level)
        output = output.unflatten(1, (len(targets), len(self.kinds), -1))
        own = self._constants(known, "own")[step.level, step.data.phase, :, step.channels, None, None]
        output = output.add_(own) if condition.exact else output + own
        known.memo["head"] = ((*key, step.data.group), output)
        return output
