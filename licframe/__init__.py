"""licframe: learned image compression, modular and exact.

>>> import licframe
>>> codec = licframe.load("balanced")                     # doctest: +SKIP
>>> data = codec.compress(image, quality=60)              # doctest: +SKIP
>>> image = licframe.decompress(data)                     # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from licframe.errors import LicframeError

if TYPE_CHECKING:
    from licframe.codec.latent import LatentCodec
    from licframe.registry.hooks import Part, added, hookimpl
    from licframe.codec.loading import decompress, load, read

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
