"""What a smaller synthesis costs and saves: files, multiplications and seconds against its teacher's.

    python docs/tools/decoders.py --data data/ -o docs/results/decoders.json

For each decoder, over real files of Kodak: BD-rate of the teacher's own files decoded by it, and of files whose encoder knew
that it would decode them (the same symbols, and a filter fitted to its picture). Seconds are those of the synthesis alone,
medians of interleaved rounds, on what cores torch takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import bjontegaard
import numpy as np
import torch

from licframe.bitstream import container
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_for, load_latent
from licframe.evaluation import datasets, metrics
from licframe.evaluation.complexity import multiplications
from licframe.picture.images import read_picture
from licframe.runtime.atomic import write_json
from licframe.runtime.malloc import keep_freed

QUALITIES = (14, 43, 71, 100)
SIZES = ((768, 512), (1913, 1361))
ROUNDS = 15


def kmac(codec: LatentCodec) -> float:
    """Return kMAC of the synthesis for a pixel of 768x512."""
    latent, quality = torch.zeros(1, codec.model.transform.latent_channels, 32, 48), torch.full((1,), 50.0)
    with torch.no_grad():
        return (
            multiplications(lambda: codec.model.transform.synthesis(latent, quality)) / (768 * 512) / 1000
        )


@torch.inference_mode()
def seconds(codecs: dict[str, LatentCodec], width: int, height: int) -> dict[str, list[float]]:
    """Return the seconds of every synthesis in every round."""
    latent = torch.randn(
        1, next(iter(codecs.values())).model.transform.latent_channels, -(-height // 16), -(-width // 16)
    )
    quality = torch.full((1,), 50.0)
    found: dict[str, list[float]] = {name: [] for name in codecs}
    for number in range(ROUNDS + 2):
        for name, codec in codecs.items():
            begin = time.perf_counter()
            codec.model.transform.synthesis(latent, quality)
            if number >= 2:
                found[name].append(time.perf_counter() - begin)
    return found


def points(paths: list[Path], codecs: dict[str, LatentCodec]) -> Iterator[tuple[str, int, list[float]]]:
    """Yield (curve, quality, [bpp, PSNR in dB, MS-SSIM]) of every file; the first codec is the teacher."""
    (base, teacher), *students = codecs.items()
    for path in paths:
        picture = read_picture(path)
        pixels = picture.pixels

        def judged(data: bytes, codec: LatentCodec, pixels: np.ndarray = pixels) -> list[float]:
            decoded = np.asarray(codec.decompress(data))
            similarity = metrics.ms_ssim(pixels, decoded)
            assert similarity is not None
            bpp = len(data) * 8 / (pixels.shape[0] * pixels.shape[1])
            return [bpp, metrics.psnr(pixels, decoded), similarity]

        for quality in QUALITIES:
            data = teacher.compress(picture, quality)
            yield base, quality, judged(data, teacher)
            for name, student in students:
                yield f"{name}, same files", quality, judged(data, student)
                yield f"{name}, own files", quality, judged(student.compress(picture, quality), student)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds kodak/")
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--decoders", nargs="+", default=["distilled", "deformable-residual"])
    parser.add_argument("--stride", type=int, default=1, help="take every so many images")
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    keep_freed()
    paths = datasets.find("kodak", args.data).paths[:: args.stride]
    teacher = load_latent(args.profile)
    header = container.read_header(teacher.compress(np.zeros((16, 16, 3), np.uint8)))
    codecs = {args.profile: teacher}
    codecs |= {name: load_for(header, args.profile, name) for name in args.decoders}
    timed = {f"{w}x{h}": seconds(codecs, w, h) for w, h in SIZES}
    sums: dict[str, dict[int, list[float]]] = {}
    for curve, quality, point in points(list(paths), codecs):
        before = sums.setdefault(curve, {}).get(quality, [0.0, 0.0, 0.0])
        sums[curve][quality] = [a + b / len(paths) for a, b in zip(before, point, strict=True)]
    curves = {}
    for name, by in sums.items():
        bpp, psnr, similarity = zip(*(by[q] for q in QUALITIES), strict=True)
        curves[name] = [bpp, psnr, [metrics.decibel(mean) for mean in similarity]]
    rate, *whole = curves[args.profile]
    work = {name: kmac(codec) for name, codec in codecs.items()}
    rows = []
    for name in codecs:
        row: dict[str, object] = {"synthesis": name, "kmac": round(work[name], 1)}
        for size, rounds in timed.items():
            pairs = list(zip(rounds[args.profile], rounds[name], strict=True))
            row[size] = {
                "seconds": round(statistics.median(rounds[name]), 4),
                "times_faster": round(statistics.median(a / b for a, b in pairs), 2),
            }
        for files in ("same files", "own files"):
            if (found := curves.get(f"{name}, {files}")) is None:
                continue
            row[files] = {
                metric: round(
                    bjontegaard.bd_rate(
                        rate, whole[k], found[0], found[k + 1], method="pchip", min_overlap=0
                    ),
                    2,
                )
                for k, metric in enumerate(("psnr", "ms_ssim"))
            } | {"psnr_lost_db": [round(a - b, 3) for a, b in zip(whole[0], found[1], strict=True)]}
        rows.append(row)
        print(json.dumps(row), flush=True)
    if args.output:
        record = {
            "profile": args.profile,
            "images": len(paths),
            "qualities": QUALITIES,
            "threads": torch.get_num_threads(),
            "decoders": rows,
        }
        write_json(args.output, record)


if __name__ == "__main__":
    main()
