"""What the filter for each picture is worth.

    python docs/lab/2026-11-23-filter-gain.py --data data/ --profiles balanced --stride 4 -o docs/results/filter.json

BD-rate over real files of Kodak at four qualities, against the same profile without it. The latent, the context and the
synthesis are the same.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import attrs

from licframe.evaluation import datasets, rd
from licframe.evaluation.bd import bd_rate
from licframe.runtime.atomic import write_json

QUALITIES = (14, 43, 71, 100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds kodak/")
    parser.add_argument("--profiles", nargs="+", default=["balanced", "fast"])
    parser.add_argument("--stride", type=int, default=1, help="take every so many images")
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    dataset = datasets.find("kodak", args.data)
    dataset = attrs.evolve(dataset, paths=dataset.paths[:: args.stride])
    record: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for profile in args.profiles:
            plain, filtered = (
                rd.measure(
                    profile,
                    dataset,
                    Path(folder) / f"{profile}-{used}.json",
                    overrides=(f"picture_filter.plugin={used}",),
                    qualities=QUALITIES,
                )
                for used in ("none", "wiener")
            )
            record[profile] = {
                metric: round(bd_rate(plain, filtered, metric).percent, 2) for metric in ("psnr", "ms_ssim")
            }
            print(profile, record[profile], flush=True)
    if args.output:
        write_json(args.output, {"images": len(dataset.paths), "bd_rate_percent": record})


if __name__ == "__main__":
    main()
