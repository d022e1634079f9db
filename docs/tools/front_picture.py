"""Make the picture of the README: a crop of a photograph through some codecs at equal bytes.

    python docs/tools/front_picture.py data/kodak/kodim19.png --crop 150,120,300,340 -o docs/pictures/equal-bytes.webp

The whole photograph is coded, by each codec to at most as many bytes as the first takes; the crop is what is shown, pixel by
pixel, under a line that says what it is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from licframe.codec.target import Target
from licframe.evaluation.codecs import codec_named
from licframe.evaluation.comparison import equal_bytes
from licframe.picture.error import ssimulacra2
from licframe.picture.images import read_picture

CODECS = ("visual", "jpeg", "avif")
NAMES = {"jpeg": "JPEG", "avif": "AVIF", "visual": "licframe"}
GAP, LINE = 6, 40


def panels(path: Path, bpp: float) -> list[tuple[str, np.ndarray]]:
    """Return what each panel says, and the whole picture that it shows."""
    picture = read_picture(path).to_rgb()
    pixels = picture.size[0] * picture.size[1]
    found = [("original", picture.pixels)]
    size = 0
    for name in CODECS:
        codec = codec_named(name).codec
        data = equal_bytes(codec, picture, size) if size else codec.encode(picture, Target(bpp=bpp)).data
        size = size or len(data)
        shown = codec.decode(data).picture.pixels
        score = ssimulacra2(picture.pixels, shown)
        found.append(
            (
                f"{NAMES[name]}, {len(data)} bytes\n{8 * len(data) / pixels:.2f} bpp, SSIMULACRA2 {score:.0f}",
                shown,
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--crop", default="150,120,300,340", help="x,y,width,height")
    parser.add_argument("--bpp", type=float, default=0.2)
    parser.add_argument("--output", "-o", type=Path, required=True)
    args = parser.parse_args()
    x, y, width, height = map(int, args.crop.split(","))
    shown = panels(args.photograph, args.bpp)
    sheet = Image.new("RGB", (len(shown) * (width + GAP) - GAP, height + LINE), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (text, pixels) in enumerate(shown):
        left = number * (width + GAP)
        draw.text((left + 2, 2), text, "black", font)
        sheet.paste(Image.fromarray(pixels[y : y + height, x : x + width]), (left, LINE))
    args.output.parent.mkdir(exist_ok=True)
    sheet.save(args.output, quality=92, method=6)


if __name__ == "__main__":
    main()
