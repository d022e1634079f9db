"""The 2x2 blocks of all levels in one row, so that a network that serves them all runs once.

Where all values are known, nothing has to wait: the K blocks of all levels become rows of one matrix ``(N, K, C)``,
a 1x1 convolution is a product with it, and a 3x3 convolution one with the nine rows that each row sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from licframe.interfaces import Step

from .grid import Slot, count, samples_near, slot_of


class Blocks:
    """Indices of what the blocks of every level hold and see; 0 stands for nothing, k + 1 for the k-th.

    Args:
        h, w: of the latent; top: the coarsest level; levels: how many levels the networks know.
        phases: the slots that each phase adds.

    Attributes:
        levels: ``(K, levels)``, one where a block belongs to a level, else zero.
        slots: for each slot, which element of the latent it is, ``(K,)``.
        around: the blocks that a 3x3 convolution sees, ``(K * 9,)``.
        step: the elements that all phases add, M of them: by slot in the order of phases, by level, by block.
        level, phase: of each of them, ``(M,)``.
        nearest: the four elements nearest to each, ``(4 * M,)``.
    """

    def __init__(
        self,
        h: int,
        w: int,
        top: int,
        levels: int,
        channels: slice,
        phases: Sequence[Sequence[Slot]],
        device: torch.device,
    ) -> None:
        grid = torch.arange(1.0, h * w + 1, dtype=torch.float64).reshape(1, 1, h, w)
        of_level = [grid[..., :: 2**level, :: 2**level] for level in range(top)]
        order = [(0, 0), *(slot for targets in phases for slot in targets)]
        samples = [{slot: slot_of(g, slot) for slot in order} for g in of_level]
        sizes = [found[0, 0].shape[-2:] for found in samples]
        self.levels = torch.cat(
            [F.one_hot(torch.full((size.numel(),), level), levels) for level, size in enumerate(sizes)]
        ).float()
        self.around = _joined([_around(sizes, level) for level in range(top)])
        self.slots = {slot: _joined([found[slot] for found in samples]) for slot in order}
        self._real: dict[Slot, Tensor] = {}
        near, elements, level_of, phase_of = [], [], [], []
        known = [(0, 0)]
        for phase, targets in enumerate(phases):
            for slot in targets:
                # Beyond the border a slot repeats a sample that is another block's.
                inside = torch.cat(
                    [_inside(g, found[slot], slot) for g, found in zip(of_level, samples, strict=True)]
                )
                blocks = self._real[slot] = inside.nonzero()[:, 0]
                beside = [samples_near({s: found[s] for s in known}, slot) for found in samples]
                near.append(torch.cat([torch.cat(four).flatten(1) for four in beside], 1)[:, blocks])
                elements.append(self.slots[slot][blocks] - 1)
                level_of.append(self.levels.argmax(1)[blocks])
                phase_of.append(torch.full_like(blocks, phase))
            known += targets
        self.nearest = torch.cat(near, 1).long().flatten()
        self.level, self.phase, element = (torch.cat(parts) for parts in (level_of, phase_of, elements))
        for name, value in vars(self).items():
            setattr(self, name, _moved(value, device))
        element = element.to(device)
        self.step = Step((element // w)[None], (element % w)[None], channels)

    def real(self, of_blocks: Tensor, slot: Slot) -> Tensor:
        """Return the rows of ``(N, K, ...)`` whose block has a sample of its own in a slot."""
        some = self._real[slot]
        return of_blocks if len(some) == len(self.levels) else of_blocks[:, some]


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """Return rows ``(N, len(index), C)`` of ``(N, K, C)`` by number, counted from one; 0 is a row of zeros."""
    return F.pad(table, (0, 0, 1, 0)).index_select(1, index)


def _around(sizes: Sequence[torch.Size], level: int) -> Tensor:
    """Return the numbers of the nine blocks about each of a level."""
    before = sum(size.numel() for size in sizes[:level])
    own = torch.arange(1.0, sizes[level].numel() + 1, dtype=torch.float64) + before
    return F.unfold(own.reshape(1, 1, *sizes[level]), 3, padding=1)[0].T


def _inside(grid: Tensor, samples: Tensor, slot: Slot) -> Tensor:
    """Return whether each sample of a slot is its block's own."""
    rows, columns = (
        torch.arange(have) < count(slice(first, whole, 2))
        for have, first, whole in zip(samples.shape[-2:], slot, grid.shape[-2:], strict=True)
    )
    return (rows[:, None] & columns).flatten()


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts]).long()


def _moved(value: Tensor | dict[Slot, Tensor], device: torch.device) -> Tensor | dict[Slot, Tensor]:
    if isinstance(value, dict):
        return {key: one.to(device) for key, one in value.items()}
    return value.to(device)
