"""Transforms over windows of a large picture: what the networks take of memory is that of a window.

A window is computed with a halo, as far as its elements see, and cut to the elements inside. The result is that of the whole
picture, but for rounding: its borders lie in windows as they lie in the whole, and no other border is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from licframe.model.interfaces import Transform

Box = tuple[slice, slice]
"""Rows and columns, each with a start and a stop."""

Crop = Callable[[Box], Tensor]
"""Returns a box of a picture, ``(1, 3, rows, columns)``."""

LARGEST_WHOLE = 2**22
"""Pixels of a picture, or of a part of one, that is computed at once."""

WINDOW = 2048
"""Pixels along a side of a window, about, without its halo: at most half as many more."""


def analysed(transform: Transform, image: Tensor, quality: Tensor) -> Tensor:
    """Return what ``transform.analysis`` does, of a large picture window by window."""
    height, width = image.shape[-2:]
    if transform.analysis_halo is None or height * width <= LARGEST_WHOLE:
        return transform.analysis(image, quality)
    rows, columns = (slice(0, -(-side // transform.stride)) for side in (height, width))
    return analysed_box(
        transform, lambda box: image[(..., *box)], quality, (height, width), (rows, columns)
    )


def analysed_box(
    transform: Transform, crop: Crop, quality: Tensor, size: Sequence[int], box: Box
) -> Tensor:
    """Return a box of the latent of a picture, window by window.

    Args:
        crop: gives what of the picture is needed; size: its height and width in pixels.
        box: of elements.
    """
    halo, stride = transform.analysis_halo, transform.stride
    assert halo is not None
    shape = [-(-side // stride) for side in size]
    rows, columns = box
    latent = None
    for some, seen in _windows(rows, shape[0], halo, stride):
        for others, beside in _windows(columns, shape[1], halo, stride):
            pixels = tuple(
                slice(part.start * stride, min(part.stop * stride, side))
                for part, side in zip((seen, beside), size, strict=True)
            )
            part = transform.analysis(crop((pixels[0], pixels[1])), quality)
            part = part[..., _within(some, seen), _within(others, beside)]
            if latent is None:
                sides = (rows.stop - rows.start, columns.stop - columns.start)
                latent = _empty(part, transform.latent_channels, *sides)
            latent[..., _within(some, rows), _within(others, columns)] = part
    assert latent is not None
    return latent


def synthesised(transform: Transform, latent: Tensor, quality: Tensor, box: Box) -> Tensor:
    """Return a box of what ``transform.synthesis`` gives, window by window where that is large.

    Args:
        latent: of elements that lie within ``seen_by`` of the box, and others; box: of pixels, from the first of the latent.
    """
    halo, stride = transform.synthesis_halo, transform.stride
    shape = latent.shape[-2:]
    rows, columns = (_elements(part, stride) for part in box)
    height, width = (stride * (part.stop - part.start) for part in (rows, columns))
    whole = (rows, columns) == tuple(slice(0, length) for length in shape)
    if halo is None or (whole and height * width <= LARGEST_WHOLE):
        return transform.synthesis(latent, quality)[(..., *box)]
    image = _empty(latent, 3, height, width)
    for some, seen in _windows(rows, shape[0], halo, stride):
        for others, beside in _windows(columns, shape[1], halo, stride):
            window = latent[..., seen, beside].contiguous(memory_format=torch.channels_last)
            part = transform.synthesis(window, quality)
            inside = part[..., _pixels(some, seen, stride), _pixels(others, beside, stride)]
            image[..., _pixels(some, rows, stride), _pixels(others, columns, stride)] = inside
    return image[(..., *moved(box, (stride * rows.start, stride * columns.start)))]


def seen_by(transform: Transform, box: Box, shape: Sequence[int]) -> Box:
    """Return rows and columns of the elements of a latent that a box of pixels depends on: all where nobody knows."""
    halo = transform.synthesis_halo
    if halo is None:
        halo = max(shape)
    rows, columns = (
        slice(max(0, part.start - halo), min(length, part.stop + halo))
        for part, length in zip((_elements(part, transform.stride) for part in box), shape, strict=True)
    )
    return rows, columns


def moved(box: Box, corner: tuple[int, int]) -> Box:
    """Return a box as it is counted from a corner."""
    rows, columns = (slice(p.start - at, p.stop - at) for p, at in zip(box, corner, strict=True))
    return rows, columns


def _elements(pixels: slice, stride: int) -> slice:
    """Return the elements whose pixels some are."""
    return slice(pixels.start // stride, -(-pixels.stop // stride))


def _windows(wanted: slice, size: int, halo: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """Yield the runs of elements of windows of about one length, and each with its halo inside ``size`` elements."""
    length = wanted.stop - wanted.start
    count = max(1, round(length * stride / WINDOW))
    step = -(-length // count)
    for start in range(wanted.start, wanted.stop, step):
        stop = min(start + step, wanted.stop)
        yield slice(start, stop), slice(max(0, start - halo), min(size, stop + halo))


def _empty(like: Tensor, *shape: int) -> Tensor:
    """Return room for what a transform gives, in the order in which it lies in memory there."""
    order = torch.channels_last
    return torch.empty(len(like), *shape, dtype=like.dtype, device=like.device, memory_format=order)


def _within(inner: slice, outer: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)


def _pixels(inner: slice, outer: slice, stride: int) -> slice:
    return _scaled(_within(inner, outer), stride)


def _scaled(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)
