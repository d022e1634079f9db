"""licframe: learned image compression, modular and exact.

>>> import licframe
>>> codec = licframe.load("balanced")
>>> data = codec.compress("photo.png", quality=60)  # a path, a Pillow image or a uint8 array
>>> image = licframe.decompress(data)  # a Pillow image
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from licframe.errors import LicframeError

if TYPE_CHECKING:
    from licframe.codec import Codec
    from licframe.hooks import Part, added, hookimpl
    from licframe.loading import decompress, load, read

__all__ = ["Codec", "LicframeError", "Part", "added", "decompress", "hookimpl", "load", "read"]
__version__ = "0.1.0"


_HOMES = {
    "Codec": "codec",
    "Part": "hooks",
    "added": "hooks",
    "decompress": "loading",
    "hookimpl": "hooks",
    "load": "loading",
    "read": "loading",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; whoever only registers a plugin does not wait for it
    if name in _HOMES:
        return getattr(importlib.import_module(f"licframe.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'licframe' has no attribute {name!r}")
