"""Codecs to compare with. A plugin provides one through the hook ``licframe_baselines``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Baseline(ABC):
    """A codec with a quality parameter; built as ``Class(options)``.

    Raises from the constructor:
        PluginLoadError: a package or program that it needs is not installed; says how to get it.
    """

    #: qualities that cover about 0.1 to 2 bpp on photographs, in any order
    qualities: Sequence[float]
    #: what exactly runs: library and version
    version: str

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def encode(self, pixels: NDArray[np.uint8], quality: float) -> bytes:
        """Return a whole file for uint8 pixels ``(H, W, 3)``."""

    @abstractmethod
    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Return uint8 pixels ``(H, W, 3)`` of a file that ``encode`` made."""
