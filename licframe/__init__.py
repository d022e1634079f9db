"""licframe: learned image compression, modular and exact.

>>> import licframe
>>> codec = licframe.load("balanced")
>>> data = codec.compress("photo.png", quality=60)  # a path, a Pillow image or a uint8 array
>>> image = licframe.decompress(data)  # a Pillow image

This module is the door for users, ``licframe.parts`` that for authors of parts, ``licframe.training`` for those who make
weights, ``licframe.pillow`` for Pillow. What they export keeps its meaning within a minor version; everything else may move.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from licframe.errors import LicframeError

if TYPE_CHECKING:
    from licframe.codec.interface import Decoded, Encoded, ImageCodec
    from licframe.codec.loading import decompress, load, read
    from licframe.codec.progressive import ProgressiveDecoder
    from licframe.codec.target import Target
    from licframe.picture.images import Picture
    from licframe.pillow import open  # noqa: A004 - as in Pillow
    from licframe.registry.hooks import Part, hookimpl, option_since

__all__ = [
    "Decoded",
    "Encoded",
    "ImageCodec",
    "LicframeError",
    "Part",
    "Picture",
    "ProgressiveDecoder",
    "Target",
    "decompress",
    "hookimpl",
    "load",
    "open",
    "option_since",
    "read",
]
__version__ = "0.1.0"


_HOMES = {
    "Decoded": "codec.interface",
    "Encoded": "codec.interface",
    "ImageCodec": "codec.interface",
    "Part": "registry.hooks",
    "Picture": "picture.images",
    "ProgressiveDecoder": "codec.progressive",
    "Target": "codec.target",
    "decompress": "codec.loading",
    "hookimpl": "registry.hooks",
    "load": "codec.loading",
    "open": "pillow",
    "option_since": "registry.hooks",
    "read": "codec.loading",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; whoever only registers a plugin does not wait for it
    if name in _HOMES:
        return getattr(importlib.import_module(f"licframe.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'licframe' has no attribute {name!r}")
