"""Many pictures, or many files: which of them go through the networks together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import torch

from licframe.errors import LicframeError, located

T = TypeVar("T")
R = TypeVar("R")

_LARGEST_ON_CPU, _LARGEST = 2**18, 2**22
"""Pixels that go through the networks together. On a processor more of them gain nothing."""


def most_together(device: torch.device, width: int, height: int) -> int:
    """Return how many pictures of a size in pixels go through the networks of a device together."""
    return max(1, (_LARGEST_ON_CPU if device.type == "cpu" else _LARGEST) // (width * height))


def one_by_one(items: Sequence[T], run: Callable[[T], R]) -> list[R]:
    """Return what ``run`` makes of each item.

    Raises:
        LicframeError: of an item, with its number in front where there are several.
    """
    return in_batches(items, lambda some: [run(item) for item in some], lambda _: (None, 1))


def in_batches(
    items: Sequence[T], run: Callable[[list[T]], Iterable[R]], alike: Callable[[T], tuple[Hashable, int]]
) -> list[R]:
    """Return what ``run`` makes of items that are alike, in the order of the items.

    Args:
        run: takes some items, and returns a result for each.
        alike: returns what items that go together have in common, and how many of them may.

    Raises:
        LicframeError: of an item, with its number in front where there are several.
    """

    def alone(number: int) -> R:
        try:
            (result,) = run([items[number]])
        except LicframeError as error:
            if len(items) == 1:
                raise
            raise located(error, f"number {number}, counted from 0") from error
        return result

    found: dict[int, R] = {}
    for numbers in _batches(items, alike):
        if len(numbers) > 1:
            try:
                found |= zip(numbers, run([items[number] for number in numbers]), strict=True)
                continue
            except LicframeError:  # of one of them: alone it says so
                pass
        found |= {number: alone(number) for number in numbers}
    return [found[number] for number in range(len(items))]


def _batches(items: Sequence[T], alike: Callable[[T], tuple[Hashable, int]]) -> list[list[int]]:
    """Return the numbers of the items of each batch."""
    batches: list[list[int]] = []
    last: dict[Hashable, list[int]] = {}
    for number, item in enumerate(items):
        kind, most = alike(item)
        if kind not in last or len(last[kind]) >= most:
            last[kind] = []
            batches.append(last[kind])
        last[kind].append(number)
    return batches
