"""No filter: the picture that the synthesis gives."""

from __future__ import annotations

from torch import Tensor

from licframe.parts import CorruptStreamError, PictureFilter

from .plugin import Options


class NoFilter(PictureFilter):
    """Send nothing."""

    sends = False

    def __init__(self, options: Options) -> None:
        self.options = options

    def fit(self, decoded: Tensor, image: Tensor, weight: float) -> bytes | None:
        return None

    def apply(self, decoded: Tensor, data: bytes) -> Tensor:
        raise CorruptStreamError("a side stream of no filter; the file is damaged")
