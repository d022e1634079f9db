"""licframe: learned image compression, modular and exact.

>>> import licframe
>>> codec = licframe.load("balanced")                     # doctest: +SKIP
>>> data = codec.compress(image, quality=60)              # doctest: +SKIP
>>> image = licframe.decompress(data)                     # doctest: +SKIP
"""

from __future__ import annotations

from licframe.hooks import Part, hookimpl

__all__ = ["Part", "hookimpl"]
__version__ = "0.1.0"
