"""Pages of HTML that need nothing but themselves: style, script and pictures stand in them. And what stands in several."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.errors import LimitError

_DATA = Path(__file__).parent / "data"
LARGEST_SIDE = 16383
"""Most pixels along a side of a picture: what WebP can hold."""


def filled(name: str, scripts: Sequence[str] = ("pictures",), **values: str) -> str:
    """Return a page of ``data/`` with its values, the common style, and its script after others."""
    script = "".join(_text(f"{part}.js") for part in (*scripts, name))
    return Template(_text(f"{name}.html")).substitute(style=_text("page.css"), script=script, **values)


def _text(name: str) -> str:
    return (_DATA / name).read_text("utf-8")


def address(pixels: NDArray[np.uint8], lossless: bool = True, *, fast: bool = False) -> str:
    """Return pixels as a data address of a WebP picture.

    Args:
        fast: take a tenth of the time, and a third more bytes; of a picture without loss.

    Raises:
        LimitError: a side is above what the format holds.
    """
    height, width = pixels.shape[:2]
    if max(width, height) > LARGEST_SIDE:
        raise LimitError(
            f"a page holds pictures of at most {LARGEST_SIDE} pixels a side, this one has {width}x{height}; cut out a part"
        )
    out = io.BytesIO()
    quality, method = (0, 0) if fast else (80, 4)
    Image.fromarray(pixels).save(out, "WEBP", lossless=lossless, quality=quality, method=method)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


def image(
    source: str, size: tuple[int, int], view: int, alt: str, caption: str, level: int | None = None
) -> str:
    """Return a picture of a viewer.

    Args:
        source: its address; size: width and height of what it shows, in pixels.
        view: its number among the viewer's views; level: its number among the levels, None if it is of all.
    """
    width, height = size
    at = "" if level is None else f' data-level="{level}"'
    return (
        f'<img src="{source}" width="{width}" height="{height}" decoding="sync" data-view="{view}"{at} '
        f'alt="{html.escape(alt)}" data-caption="{html.escape(caption)}">'
    )


def viewer(
    name: str,
    views: Sequence[str],
    images: Sequence[str],
    levels: Sequence[str] = ("",),
    chosen: tuple[int, int] = (0, 1),
) -> str:
    """Return pictures of one size under a slider; the script is ``viewer.js``.

    Args:
        views: what can be chosen for either side; chosen: what is at first.
        images: see ``image``; every view has one, or one at each of ``levels``.
    """
    name, left, right = html.escape(name), *chosen
    stage = "\n".join(images)
    return f"""<section class="viewer" aria-label="{name}">
<h3>{name}</h3>
<div class="controls">
<label>left <select data-side="left">{options(views, left)}</select></label>
<label>right <select data-side="right">{options(views, right)}</select></label>
<label{" hidden" * (len(levels) == 1)}>at <select data-level-choice>{options(levels)}</select></label>
<label>zoom <select data-zoom>
<option value="fit">fit</option><option value="1">1:1</option><option value="2">2:1</option><option value="4">4:1</option>
</select></label>
<button type="button" data-flicker>flicker <span class="key">(<kbd>F</kbd>)</span></button>
<span role="status">shown: <span data-now>both</span></span>
</div>
<div class="frame" tabindex="0" role="group" aria-label="pictures of {name}"><div class="stage">
{stage}
<div class="line"></div></div></div>
<label class="slide">border <input type="range" min="0" max="100" value="50" step="0.5" aria-label="border between left and right"></label>
<p class="caption" data-caption="left"></p>
<p class="caption" data-caption="right"></p>
<p class="caption" data-scale></p>
</section>"""


def options(labels: Sequence[str], chosen: int = 0) -> str:
    """Return what a list offers, by number."""
    return "".join(
        f'<option value="{number}"{" selected" * (number == chosen)}>{html.escape(label)}</option>'
        for number, label in enumerate(labels)
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that scrolls where it is too large."""
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide" tabindex="0"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
