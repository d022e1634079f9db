"""Pages of HTML that need nothing but themselves: style, script and pictures stand in them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.errors import LimitError

_DATA = Path(__file__).parent / "data"
_SIDE = 16383
"""What WebP can hold."""


def filled(name: str, **values: str) -> str:
    """Return a page of ``data/`` with its values, the common style, and its script."""
    script = _text("pictures.js") + _text(f"{name}.js")
    return Template(_text(f"{name}.html")).substitute(style=_text("page.css"), script=script, **values)


def _text(name: str) -> str:
    return (_DATA / name).read_text("utf-8")


def address(pixels: NDArray[np.uint8], lossless: bool = True) -> str:
    """Return pixels as a data address of a WebP picture.

    Raises:
        LimitError: a side is above what the format holds.
    """
    height, width = pixels.shape[:2]
    if max(width, height) > _SIDE:
        raise LimitError(
            f"a page holds pictures of at most {_SIDE} pixels a side, this one has {width}x{height}; cut out a part"
        )
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", lossless=lossless, quality=80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
