"""Draw ten pictures of screens: terminals, text, tables, charts, windows, a photograph in a page. The same ones every time.

python docs/tools/screenshots.py FOLDER
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from licframe.evaluation.datasets import sample_picture

SIZE = (960, 640)
WORDS = [
    "latent",
    "context",
    "symbol",
    "entropy",
    "picture",
    "decoder",
    "step",
    "quality",
    "plane",
    "block",
    "file",
    "table",
    "rate",
    "error",
    "noise",
    "level",
    "scale",
    "channel",
    "group",
    "phase",
    "weight",
    "layer",
    "report",
    "chunk",
    "header",
    "stream",
    "digest",
    "profile",
    "plugin",
]
INK = ("#1f2328", "#0550ae", "#116329", "#953800", "#8250df", "#cf222e", "#57606a")


class Screen:
    """A picture that is being drawn, with its own random numbers."""

    def __init__(self, seed: int, background: str) -> None:
        self.rng = random.Random(seed)
        self.image = Image.new("RGB", SIZE, background)
        self.draw = ImageDraw.Draw(self.image)

    def words(self, count: int) -> str:
        """Return some words."""
        return " ".join(self.rng.choice(WORDS) for _ in range(count))

    def text(self, x: int, y: int, text: str, size: int = 13, fill: str = INK[0]) -> None:
        """Write a line."""
        self.draw.text((x, y), text, font=ImageFont.load_default(size), fill=fill)

    def box(self, place: tuple[int, int, int, int], fill: str, line: str | None = None) -> None:
        """Draw a rectangle, or one with a border."""
        self.draw.rectangle(place, fill=fill, outline=line)

    def photograph(self, place: tuple[int, int], size: tuple[int, int]) -> None:
        """Put the sample picture somewhere."""
        with Image.open(sample_picture()) as picture:
            self.image.paste(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), place)


def terminal() -> Screen:
    """Light text on black."""
    s = Screen(1, "#101418")
    for k in range(34):
        colour = s.rng.choice(["#d0d7de", "#d0d7de", "#7ee787", "#79c0ff", "#ffa657"])
        s.text(
            10, 8 + 18 * k, f"{s.rng.randint(0, 99999):05d}  {s.words(s.rng.randint(2, 12))}", 14, colour
        )
    return s


def editor() -> Screen:
    """Indented lines in colours, with a margin of numbers."""
    s = Screen(2, "#ffffff")
    s.box((0, 0, 44, SIZE[1]), "#f6f8fa")
    for k in range(38):
        s.text(12, 6 + 16 * k, str(k + 1), 12, "#8c959f")
        x = 56 + 28 * s.rng.randint(0, 3)
        for _ in range(s.rng.randint(1, 5)):
            word = s.words(1) + s.rng.choice(["(", ")", ":", " =", ","])
            s.text(x, 6 + 16 * k, word, 13, s.rng.choice(INK))
            x += 9 * len(word)
    return s


def page() -> Screen:
    """Black text on white in two columns."""
    s = Screen(3, "#ffffff")
    s.text(60, 24, s.words(5).title(), 28)
    for column in (60, 500):
        for k in range(30):
            s.text(column, 80 + 18 * k, s.words(6)[:52], 14)
    return s


def table() -> Screen:
    """Numbers in cells."""
    s = Screen(4, "#ffffff")
    for row in range(26):
        s.box((0, 24 * row, SIZE[0], 24 * row + 24), "#eaeef2" if row == 0 else "#ffffff", "#d0d7de")
        for column in range(10):
            x = 96 * column
            s.draw.line((x, 0, x, 624), fill="#d0d7de")
            s.text(x + 8, 24 * row + 5, s.words(1) if not row else f"{s.rng.uniform(-9, 9999):.2f}", 12)
    return s


def bars() -> Screen:
    """A bar chart."""
    s = Screen(5, "#ffffff")
    s.text(40, 16, s.words(6), 20)
    for k in range(24):
        height = s.rng.randint(40, 500)
        s.box((50 + 36 * k, 600 - height, 76 + 36 * k, 600), ("#0969da", "#bf8700", "#1a7f37")[k % 3])
        s.text(50 + 36 * k, 604, str(k), 11)
    for k in range(6):
        s.draw.line((44, 600 - 100 * k, 920, 600 - 100 * k), fill="#d8dee4")
        s.text(8, 594 - 100 * k, str(100 * k), 11)
    return s


def lines() -> Screen:
    """Curves, smoothed by drawing four times larger."""
    s = Screen(6, "#ffffff")
    large = Image.new("RGB", (4 * SIZE[0], 4 * SIZE[1]), "#ffffff")
    draw = ImageDraw.Draw(large)
    for colour in INK[1:6]:
        y, points = s.rng.uniform(500, 2000), []
        for x in range(200, 3700, 50):
            y = min(2300.0, max(200.0, y + s.rng.uniform(-140, 140)))
            points.append((x, y))
        draw.line(points, fill=colour, width=9, joint="curve")
    s.image = large.resize(SIZE, Image.Resampling.BOX)
    s.draw = ImageDraw.Draw(s.image)
    s.draw.rectangle((48, 40, 930, 590), outline="#57606a")
    for k in range(12):
        s.text(50 + 74 * k, 598, f"{k / 10:.1f}", 12)
    return s


def windows() -> Screen:
    """Overlapping windows with buttons."""
    s = Screen(7, "#2f6f8f")
    for k in range(5):
        x, y = 40 + 120 * k, 30 + 70 * k
        s.box((x, y, x + 380, y + 260), "#f0f0f0", "#404040")
        s.box((x, y, x + 380, y + 26), "#3b5998")
        s.text(x + 8, y + 6, s.words(3), 13, "#ffffff")
        for row in range(7):
            s.text(x + 16, y + 40 + 22 * row, s.words(5), 13)
        for b in range(3):
            s.box((x + 20 + 118 * b, y + 220, x + 120 + 118 * b, y + 246), "#e1e1e1", "#adadad")
            s.text(x + 34 + 118 * b, y + 226, s.words(1), 13)
    return s


def shapes() -> Screen:
    """Flat areas and outlines, as of a map."""
    s = Screen(8, "#dfe8d8")
    for _ in range(60):
        x, y, r = s.rng.randint(0, 960), s.rng.randint(0, 640), s.rng.randint(20, 120)
        corners = [(x + s.rng.randint(-r, r), y + s.rng.randint(-r, r)) for _ in range(5)]
        s.draw.polygon(
            corners, fill=s.rng.choice(["#b5d0d0", "#f2efe9", "#add19e", "#f7fabf"]), outline="#777777"
        )
    for _ in range(25):
        ends = [(s.rng.randint(0, 960), s.rng.randint(0, 640)) for _ in range(3)]
        s.draw.line(ends, fill=s.rng.choice(["#e892a2", "#f9b29c", "#ffffff"]), width=s.rng.choice([2, 5]))
        s.text(*ends[1], s.words(1), 12)
    return s


def article() -> Screen:
    """A photograph in a page of text."""
    s = Screen(9, "#ffffff")
    s.box((0, 0, SIZE[0], 48), "#24292f")
    s.text(24, 14, s.words(4), 17, "#ffffff")
    s.photograph((520, 80), (400, 267))
    for k in range(14):
        s.text(40, 80 + 20 * k, s.words(7)[:56], 14)
    for k in range(12):
        s.text(40, 370 + 20 * k, s.words(15)[:118], 14)
    return s


def gallery() -> Screen:
    """Small photographs with captions on grey."""
    s = Screen(10, "#e8e8ec")
    for k in range(6):
        x, y = 40 + 300 * (k % 3), 30 + 300 * (k // 3)
        s.box((x - 8, y - 8, x + 268, y + 250), "#ffffff", "#c8c8d0")
        s.photograph((x, y), (260, 174 + k))
        for row in range(3):
            s.text(x, y + 190 + 18 * row, s.words(4)[:34], 13)
    return s


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (terminal, editor, page, table, bars, lines, windows, shapes, article, gallery):
        draw().image.save(folder / f"{draw.__name__}.png")


if __name__ == "__main__":
    main()
