"""Does a codec behave on pictures that it never saw as it does on Kodak?

    python docs/tools/unseen.py photographs/ -o docs/results/unseen.json --sheets sheets/

Real files, decoded from the files. For each picture: BD-rate (PSNR) against JPEG, AVIF and JPEG XL; the largest colour cast,
that is the mean error of a channel in levels of 8 bits; and the edges of blocks: how much larger the mean step across the
borders of 16x16 blocks is than elsewhere, relative to the original's. ``--sheets`` writes the picture beside
JPEG XL and AVIF at equal bytes, at 0.1, 0.25 and 0.5 bits a pixel: look at them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.codec.interface import ImageCodec
from licframe.codec.target import Target
from licframe.errors import ResultsError
from licframe.evaluation import metrics
from licframe.evaluation.bd import bd_rate
from licframe.evaluation.codecs import codec_named
from licframe.evaluation.comparison import equal_bytes
from licframe.evaluation.rd import Job, run_job
from licframe.evaluation.results import Results, mean_curve
from licframe.picture.images import Picture, read_picture
from licframe.runtime.atomic import write_json

ANCHORS = ("jpeg", "avif", "jxl")
RATES = (0.1, 0.25, 0.5)
BLOCK = 16


def measured(name: str, path: Path) -> Results:
    """Return the curve of a codec on one picture."""
    named = codec_named(name)
    codec = named.codec
    points = tuple(run_job(Job(name, (), path, tuple(map(float, codec.qualities)))))
    return Results(name, named.kind, codec.version, path.name, points=points, curve=mean_curve(points))


def _shown(codec: ImageCodec, data: bytes) -> NDArray[np.uint8]:
    return codec.decode(data).picture.pixels


def edges(pixels: NDArray[np.uint8]) -> float:
    """Return the mean step across borders of blocks over the mean of the other steps."""
    steps = [np.abs(np.diff(pixels.astype(np.float64), axis=axis)) for axis in (0, 1)]
    border = [s[BLOCK - 1 :: BLOCK] for s in (steps[0], steps[1].swapaxes(0, 1))]
    whole = sum(float(s.sum()) for s in steps)
    count = sum(s.size for s in steps)
    at_border, many = sum(float(b.sum()) for b in border), sum(b.size for b in border)
    return (at_border / many) / max(1e-9, (whole - at_border) / (count - many))


def defects(codec: ImageCodec, picture: Picture) -> dict[str, float]:
    """Return the worst colour cast and the worst block edges over the codec's qualities."""
    casts, blocks = [], []
    for quality in codec.qualities:
        decoded = _shown(codec, codec.encode(picture, Target(quality=quality)).data)
        error = decoded.astype(np.float64) - picture.pixels
        casts.append(float(np.abs(error.mean((0, 1))).max()))
        blocks.append(edges(decoded) / edges(picture.pixels) - 1)
    return {"colour_cast_levels": round(max(casts), 3), "block_edges": round(max(blocks), 4)}


def sheet(profile: str, picture: Picture, bpp: float) -> Image.Image:
    """Return the original, the codec, JPEG XL and AVIF side by side, the latter three at equal bytes."""
    width, height = picture.size
    ours = codec_named(profile).codec
    data = equal_bytes(ours, picture, int(bpp * width * height / 8))
    views = [picture.pixels, _shown(ours, data)]
    for name in ("jxl", "avif"):
        rival = codec_named(name).codec
        views.append(_shown(rival, equal_bytes(rival, picture, len(data))))
    said = ", ".join(f"{metrics.psnr(picture.pixels, v):.2f}" for v in views[1:])
    print(f"{8 * len(data) / (width * height):.3f} bpp: {profile}, jxl, avif {said} dB")
    rows = [np.concatenate(views[k : k + 2], 1) for k in (0, 2)]
    return Image.fromarray(np.concatenate(rows, 0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="RGB pictures")
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--sheets", type=Path)
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for path in sorted(args.folder.iterdir()):
        picture = read_picture(path).to_rgb()
        ours = measured(args.profile, path)
        row: dict[str, Any] = {"picture": path.name, "size": list(picture.size)}
        for anchor in ANCHORS:
            try:
                row[anchor] = round(bd_rate(measured(anchor, path), ours).percent, 1)
            except ResultsError as error:
                row[anchor] = str(error)
        row |= defects(codec_named(args.profile).codec, picture)
        row["points"] = [attrs.asdict(point) for point in ours.points]
        rows.append(row)
        print(json.dumps({k: v for k, v in row.items() if k != "points"}), flush=True)
        if args.sheets:
            args.sheets.mkdir(parents=True, exist_ok=True)
            for bpp in RATES:
                sheet(args.profile, picture, bpp).save(args.sheets / f"{path.stem}-{bpp}.png")
    if args.output:
        write_json(args.output, {"profile": args.profile, "pictures": rows})


if __name__ == "__main__":
    main()
