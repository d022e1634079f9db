"""What latent overfitting gains: BD-rate at a budget of seconds, and gain against seconds.

    python docs/lab/2026-11-22-search.py --data data/ -o docs/results/search.json

BD-rate is over real files of some Kodak images at four qualities. The curve is the relative cost
``bits + lambda * squared error`` of real files at one quality, a search of its own for each budget. Seconds are this machine's: leave it
nothing else to do.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import attrs
import numpy as np
import torch

from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.evaluation import datasets, rd
from licframe.evaluation.bd import bd_rate
from licframe.model.gains import lambda_of
from licframe.picture.images import read_picture
from licframe.runtime.atomic import write_json
from licframe.runtime.malloc import keep_freed

QUALITIES = (14, 43, 71, 100)
BUDGETS = (5, 15, 30, 60)
# Every sixth image: portrait and landscape format, smooth and textured
STRIDE = 6


def cost(budget: float, path: Path, quality: int) -> float:
    """Return the cost of an image's file after a search of so many seconds; 0 for none."""
    codec = load_latent(
        "balanced",
        [f"refiner.plugin={'lof' if budget else 'none'}"] + [f"refiner.seconds={budget}"] * bool(budget),
    )
    picture = read_picture(path)
    data = codec.encode(picture, Target(quality=quality)).data
    error = np.square(codec.decode(data).picture.pixels - picture.pixels.astype(float)).sum()
    return 8 * len(data) + float(lambda_of(torch.tensor(float(quality)))) / 3 * float(error)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds kodak/")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    keep_freed()  # as the command line does
    dataset = datasets.find("kodak", args.data)
    dataset = attrs.evolve(dataset, paths=dataset.paths[STRIDE // 2 :: STRIDE])
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            name: rd.measure(
                "balanced", dataset, Path(folder) / f"{name}.json", overrides=overrides, qualities=QUALITIES
            )
            for name, overrides in (
                ("plain", ()),
                ("searched", ("refiner.plugin=lof", f"refiner.seconds={args.seconds}")),
            )
        }
    difference = bd_rate(runs["plain"], runs["searched"], "psnr")
    print(difference.describe(), flush=True)
    curve = {}
    shown = dataset.paths[:2]
    before = [cost(0, path, 43) for path in shown]
    for budget in BUDGETS:
        after = [cost(budget, path, 43) for path in shown]
        curve[budget] = round(sum(b / a for a, b in zip(before, after, strict=True)) / len(before) - 1, 5)
        print(budget, curve[budget], flush=True)
    record = {
        "images": [path.name for path in dataset.paths],
        "seconds": args.seconds,
        "bd_rate_psnr_percent": round(difference.percent, 2),
        "points": {name: [attrs.asdict(point) for point in run.points] for name, run in runs.items()},
        "relative_cost_at_quality_43_by_seconds": curve,
    }
    if args.output:
        write_json(args.output, record)


if __name__ == "__main__":
    main()
