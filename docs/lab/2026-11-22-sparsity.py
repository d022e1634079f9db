"""What leaving out zero channels and what the L1 term do, for rate and for time, each by itself.

    python docs/lab/2026-11-22-sparsity.py --data data/ -o docs/results/sparsity.json
    python docs/lab/2026-11-22-sparsity.py --data data/ --weights 0=runs/a/weights.safetensors --weights 0.02=runs/b/weights.safetensors

The first table codes the same latents with and without the flags that leave channels out which are zero throughout an
image (arXiv 2309.02529): bytes, and seconds of decoding without the synthesis, medians of interleaved rounds. The second
compares weights that were trained alike but for the weight of the L1 term, beta: BD-rate over real files against the first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs
import torch

from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.evaluation import datasets, rd
from licframe.evaluation.bd import bd_rate
from licframe.model import latent_coding
from licframe.model.latent_coding import CodedLatent
from licframe.picture.images import read_picture
from licframe.picture.tensors import tensor_of
from licframe.runtime.atomic import write_json
from licframe.runtime.clock import Clock

QUALITIES = (0, 14, 43, 71, 100)
ROUNDS = 5


def images_of(paths: tuple[Path, ...]) -> list[torch.Tensor]:
    return [tensor_of(read_picture(path)) for path in paths]


def seconds(codec: LatentCodec, coded: CodedLatent) -> float:
    """Return the time to decode a latent."""
    begin = time.perf_counter()
    latent_coding.decode(
        codec.model, coded.payload, coded.digest, coded.quality, coded.y.shape[-2:], Clock()
    )
    return time.perf_counter() - begin


@torch.inference_mode()
def zero_channels(codec: LatentCodec, images: list[torch.Tensor]) -> list[dict[str, Any]]:
    """Return bytes and time with and without the channel flags, by quality."""
    rows = []
    for quality in QUALITIES:
        sizes, times, empty = {True: 0, False: 0}, {True: 0.0, False: 0.0}, 0
        for image in images:
            latent = codec.model.analyse(image, quality)
            coded = {
                s: latent_coding.encode(codec.model, latent, quality, Clock(), sparse=s)
                for s in (True, False)
            }
            rounds: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(ROUNDS):
                for sparse, item in coded.items():
                    rounds[sparse].append(seconds(codec, item))
            for sparse, item in coded.items():
                sizes[sparse] += len(item.payload)
                times[sparse] += statistics.median(rounds[sparse])
            empty += coded[True].empty
        rows.append(
            {
                "quality": quality,
                "zero_channels": round(empty / len(images), 1),
                "rate": round(sizes[True] / sizes[False] - 1, 5),
                "decode_time": round(times[True] / times[False] - 1, 4),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def l1_term(dataset: datasets.Dataset, weights: dict[str, str]) -> list[dict[str, Any]]:
    """Return BD-rate, zero channels and decoding time of weights by beta, against the first."""
    rows, first = [], None
    with tempfile.TemporaryDirectory() as folder:
        for beta, path in weights.items():
            overrides = (f"weights.file={path}",)
            run = rd.measure(
                "balanced",
                dataset,
                Path(folder) / f"{beta}.json",
                overrides=overrides,
                qualities=(0, 14, 29, 43, 57, 71, 86, 100),
            )
            first = first or run
            codec = load_latent("balanced", overrides)
            with torch.inference_mode():
                images = images_of(dataset.paths)
                coded = [
                    latent_coding.encode(codec.model, codec.model.analyse(image, 43), 43, Clock())
                    for image in images
                ]
                times = [statistics.median(seconds(codec, c) for _ in range(ROUNDS)) for c in coded]
            rows.append(
                {
                    "beta": float(beta),
                    "bd_rate_psnr_percent": round(bd_rate(first, run, "psnr").percent, 2),
                    "zero_channels_at_43": round(sum(c.empty for c in coded) / len(coded), 1),
                    "decode_seconds_at_43": round(sum(times) / len(times), 4),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds kodak/")
    parser.add_argument("--weights", action="append", default=[], metavar="BETA=FILE")
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    dataset = datasets.find("kodak", args.data)
    dataset = attrs.evolve(dataset, paths=dataset.paths[:: len(dataset.paths) // args.limit])
    codec = load_latent("balanced")
    record: dict[str, Any] = {"images": [path.name for path in dataset.paths]}
    record["zero_channels"] = zero_channels(codec, images_of(dataset.paths))
    if args.weights:
        record["l1_term"] = l1_term(dataset, dict(item.split("=", 1) for item in args.weights))
    if args.output:
        write_json(args.output, record)


if __name__ == "__main__":
    main()
