"""The geometry of one level: 2x2 blocks, their four slots, and which samples lie next to which.

A level's grid is cut into blocks of 2x2; the samples of one slot of all blocks form the compact grid, half as
high and half as wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Slot = tuple[int, int]
"""Row and column inside a 2x2 block."""

PHASES: Mapping[int, tuple[tuple[Slot, ...], ...]] = {
    2: (((1, 1),), ((0, 1), (1, 0))),
    3: (((1, 1),), ((0, 1),), ((1, 0),)),
}
"""The slots that each phase adds, by the number of phases; (0, 0) is known from the coarser level."""


def count(positions: slice) -> int:
    """Return how many positions a slice names."""
    return len(range(positions.start, positions.stop, positions.step))


def slot_of(grid: Tensor, slot: Slot) -> Tensor:
    """Return the samples of a slot on the compact grid, a copy where gradients are recorded.

    Where the grid has an odd size the last sample is repeated; an empty slot is all zero.
    """
    h, w = ((size + 1) // 2 for size in grid.shape[-2:])
    values = grid[..., slot[0] :: 2, slot[1] :: 2]
    if torch.is_grad_enabled():
        values = values.clone()
    below, right = h - values.shape[-2], w - values.shape[-1]
    if not (below or right):
        return values
    mode = "replicate" if values.shape[-2] and values.shape[-1] else "constant"
    return F.pad(values, (0, right, 0, below), mode=mode)


def nearest(slots: Sequence[Slot], target: Slot) -> list[Slot]:
    """Return the slots whose samples touch the target's sides; else those at its corners."""
    beside = [s for s in slots if (s[0] == target[0]) != (s[1] == target[1])]
    return beside or list(slots)


def average(slots: dict[Slot, Tensor], target: Slot) -> Tensor:
    """Return the mean of the samples nearest to ``target``, on the compact grid.

    Two in a slot that differs from the target along one axis, four in one that differs along both.
    """
    totals, samples = [], 0
    for slot in nearest(list(slots), target):
        total, number = slots[slot], 1
        for axis, (have, want) in enumerate(zip(slot, target, strict=True)):
            if have != want:
                total, number = _beside(total, axis - 2, after=have < want).add_(total), 2 * number
        totals.append(total)
        samples += number
    return sum(totals[1:], totals[0]) / samples


def samples_near(slots: dict[Slot, Tensor], target: Slot) -> list[Tensor]:
    """Return the samples that ``average`` takes the mean of, one by one."""
    found = []
    for slot in nearest(list(slots), target):
        samples = [slots[slot]]
        for axis, (have, want) in enumerate(zip(slot, target, strict=True)):
            if have != want:
                samples += [_beside(sample, axis - 2, after=have < want) for sample in samples]
        found += samples
    return found


def _beside(values: Tensor, dim: int, after: bool) -> Tensor:
    """Return the sample after each, or before it; one beyond the border repeats the one inside."""
    size = values.shape[dim]
    if after:
        return torch.cat([values.narrow(dim, 1, size - 1), values.narrow(dim, size - 1, 1)], dim)
    return torch.cat([values.narrow(dim, 0, 1), values.narrow(dim, 0, size - 1)], dim)
