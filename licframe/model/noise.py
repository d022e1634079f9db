"""Uniform noise in place of rounding; of a batch whose parts are computed by several processes each takes its own.

Every process draws the noise of the whole batch. So all stay at the same random numbers, and together they have those of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_PART: ContextVar[tuple[int, int]] = ContextVar("part", default=(0, 1))


@contextmanager
def part_of_batch(number: int, count: int) -> Iterator[None]:
    """Take what is computed in the block for the part ``number`` of a batch, of ``count`` equal parts."""
    token = _PART.set((number, count))
    try:
        yield
    finally:
        _PART.reset(token)


def uniform_noise(like: Tensor) -> Tensor:
    """Return noise in +-1/2 of the shape and type of a tensor ``(N, ...)``."""
    number, count = _PART.get()
    if count == 1:
        return torch.rand_like(like) - 0.5
    n, order = len(like), torch.contiguous_format
    if like.dim() == 4 and not like.is_contiguous():  # numbers are drawn in the order of memory
        order = torch.channels_last
    shape = (count * n, *like.shape[1:])
    whole = torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=order)
    return whole.uniform_()[number * n : (number + 1) * n] - 0.5
