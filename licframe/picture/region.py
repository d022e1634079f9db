"""A part of a picture."""

from __future__ import annotations

from collections.abc import Sequence

from licframe.errors import UsageError

Region = Sequence[int]
"""Left and top sample, width and height."""


def box_of(region: Region | None, width: int, height: int) -> tuple[slice, slice]:
    """Return the rows and columns of a region of a picture; all without one.

    Raises:
        UsageError: it is no region, or does not lie within the picture.
    """
    if region is None:
        return slice(0, height), slice(0, width)
    if len(region) != 4 or not all(isinstance(number, int) for number in region):
        raise UsageError(f"region {region!r}: expected four whole numbers, x, y, width and height")
    x, y, across, down = region
    if x < 0 or y < 0 or across < 1 or down < 1 or x + across > width or y + down > height:
        raise UsageError(
            f"region {x},{y},{across},{down} (x, y, width, height) does not lie within the picture of {width}x{height} pixels"
        )
    return slice(y, y + down), slice(x, x + across)
