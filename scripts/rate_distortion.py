"""Measure a profile against JPEG and WebP on a folder of pictures: real files, real decoding.

    python scripts/rate_distortion.py balanced --images kodak/ --curve vtm.json -o result.json

Prints BD-rates (PSNR-RGB, PCHIP, mean curves) and writes every point. Needs ``pip install bjontegaard``.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from pathlib import Path

import bjontegaard
import numpy as np
import torch
from PIL import Image

from licframe.evaluation import metrics
from licframe.images import read_picture
from licframe.loading import load
from licframe.rate import Target

QUALITIES = (0, 14, 29, 43, 57, 71, 86, 100)
PILLOW = {"JPEG": (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95), "WEBP": (1, 10, 25, 40, 55, 70, 80, 90, 95)}


def pillow_point(pixels: np.ndarray, kind: str, quality: int) -> tuple[int, np.ndarray]:
    buffer = io.BytesIO()
    extra = {"optimize": True} if kind == "JPEG" else {"method": 6}
    Image.fromarray(pixels).save(buffer, kind, quality=quality, **extra)
    return len(buffer.getvalue()), np.asarray(Image.open(buffer).convert("RGB"))


def mean_curve(rows: list[dict]) -> list[dict]:
    """Average the images of each quality: bpp, PSNR, MS-SSIM and seconds."""
    out = []
    for quality in sorted({row["quality"] for row in rows}):
        same = [row for row in rows if row["quality"] == quality]
        keys = [k for k in same[0] if k not in ("quality", "image")]
        out.append({"quality": quality, **{k: statistics.fmean(r[k] for r in same) for k in keys}})
    return out


def bd_rate(anchor: list[dict], test: list[dict]) -> dict:
    """Return the BD-rate in percent over the common PSNR interval, and the interval."""

    def xy(curve: list[dict]) -> tuple[list[float], list[float]]:
        points = sorted((p["psnr"], p["bpp"]) for p in curve)
        return [b for _, b in points], [p for p, _ in points]

    (ra, pa), (rt, pt) = xy(anchor), xy(test)
    value = bjontegaard.bd_rate(
        ra, pa, rt, pt, method="pchip", require_matching_points=False, min_overlap=0
    )
    return {
        "bd_rate": round(value, 2),
        "psnr": [round(max(pa[0], pt[0]), 2), round(min(pa[-1], pt[-1]), 2)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--curve", type=Path, action="append", default=[], help="published curve, JSON")
    parser.add_argument("--output", "-o", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    codec = load(args.profile, args.set)
    rows: dict[str, list[dict]] = {args.profile: [], **{kind: [] for kind in PILLOW}}
    for path in sorted(args.images.iterdir())[: args.limit]:
        picture = read_picture(path)
        pixels, area = picture.pixels, picture.size[0] * picture.size[1]
        for quality in QUALITIES:
            encoded = codec.encode(picture, Target(quality=quality))
            begin = time.perf_counter()
            decoded = codec.decode(encoded.data).picture.pixels
            rows[args.profile].append(
                {
                    "image": path.name,
                    "quality": quality,
                    "bpp": 8 * len(encoded.data) / area,
                    "information_bpp": encoded.information / area,
                    "psnr": metrics.psnr(pixels, decoded),
                    "ms_ssim": metrics.ms_ssim(pixels, decoded),
                    "encode_seconds": sum(encoded.seconds.values()),
                    "decode_seconds": time.perf_counter() - begin,
                }
            )
        for kind, qualities in PILLOW.items():
            for quality in qualities:
                size, decoded = pillow_point(pixels, kind, quality)
                rows[kind].append(
                    {
                        "image": path.name,
                        "quality": quality,
                        "bpp": 8 * size / area,
                        "psnr": metrics.psnr(pixels, decoded),
                        "ms_ssim": metrics.ms_ssim(pixels, decoded),
                    }
                )
        print(path.name, flush=True)
    curves = {name: mean_curve(points) for name, points in rows.items()}
    anchors = {kind: curves[kind] for kind in PILLOW}
    for path in args.curve:
        published = json.loads(path.read_text())
        anchors[path.stem] = [
            {"bpp": b, "psnr": p} for b, p in zip(published["bpp"], published["psnr_rgb"], strict=True)
        ]
    bd = {name: bd_rate(anchor, curves[args.profile]) for name, anchor in anchors.items()}
    for point in curves[args.profile]:
        print({k: round(v, 4) for k, v in point.items()})
    print(json.dumps(bd, indent=1))
    if args.output:
        result = {
            "profile": args.profile,
            "weights": codec.fingerprint.hex(),
            "images": len(rows["JPEG"]) // len(PILLOW["JPEG"]),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "bd_rate": bd,
            "curves": curves,
            "points": rows,
        }
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
