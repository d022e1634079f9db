"""The picture filter of a picture: the one worth sending, and those that a file brings along."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from licframe.bitstream.container import Stream
from licframe.errors import LicframeError, WeightsMismatchError
from licframe.model.interfaces import PictureFilter

FindFilter = Callable[[str], PictureFilter | None]
"""Returns the picture filter of a label, "name version"; None if no installed plugin provides it."""


def fit(
    picture_filter: PictureFilter, decoded: Tensor, image: Tensor, weight: float, known: bytes | None = None
) -> bytes | None:
    """Return what is worth sending of a new fit, or of bytes known before; None if nothing is.

    Args:
        decoded, image: ``(1, 3, H, W)`` in [0, 1]; weight: bits per unit of squared error.
    """

    def cost(data: bytes | None) -> float:
        shown = decoded if data is None else picture_filter.apply(decoded, data)
        return 8 * len(data or b"") + weight * float((shown - image).square().sum())

    found = picture_filter.fit(decoded, image, weight)
    return found if known is None else min(found, known, key=cost)


def apply_all(image: Tensor, filters: list[tuple[PictureFilter, bytes]]) -> Tensor:
    """Return a decoded picture ``(1, 3, H, W)`` in [0, 1] after each filter."""
    for picture_filter, data in filters:
        image = picture_filter.apply(image, data)
    return image


def of_file(
    streams: Mapping[str, Stream], find: FindFilter, damage: list[str] | None = None
) -> list[tuple[PictureFilter, bytes]]:
    """Return the filters that a file asks for, with their bytes, tried on one pixel.

    Args:
        streams: the file's side streams; each belongs to the filter whose label it bears.
        damage: takes a sentence on each that cannot be had, which is then left out.

    Raises:
        CorruptStreamError: a critical stream that is no filter; WeightsMismatchError: one that nothing reads.
    """
    found = []
    for label, stream in streams.items():
        try:
            picture_filter = find(label)
            if picture_filter is None or not picture_filter.sends:
                raise WeightsMismatchError(
                    f'the file holds a side stream "{label}" that no installed part reads; install the package that '
                    "provides that picture filter, or update licframe"
                )
            picture_filter.apply(torch.zeros(1, 3, 1, 1), stream.data)
            found.append((picture_filter, stream.data))
        except LicframeError as error:
            if damage is not None:
                damage.append(f"its side stream {label} is left out: {error}")
            elif stream.critical:
                raise
    return found
