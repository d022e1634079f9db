"""What the encoder's choices are worth: rounding by cost, and a filter for each picture.

    python scripts/encoding.py --data data/ --profiles balanced --stride 4 -o docs/results/encoding.json

BD-rate over real files of Kodak at four qualities, against the same profile without either. The latent, the context and the
synthesis are the same throughout.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import attrs

from licframe.evaluation import datasets, rd
from licframe.evaluation.bd import bd_rate
from licframe.evaluation.results import Results

QUALITIES = (14, 43, 71, 100)
PLAIN = ("encoder.filter=false", "encoder.step_bits=0")
CHOICES = {
    "rounding by cost": ("encoder.filter=false",),
    "filter": ("encoder.filter=true", "encoder.step_bits=0"),
    "both": ("encoder.filter=true",),
}


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
    record: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for profile in args.profiles:

            def measured(name: str, overrides: tuple[str, ...], profile: str = profile) -> Results:
                path = Path(folder) / f"{profile}-{name}.json"
                return rd.measure(profile, dataset, path, overrides=overrides, qualities=QUALITIES)

            plain = measured("plain", PLAIN)
            for name, overrides in CHOICES.items():
                found = measured(name, overrides)
                record.setdefault(profile, {})[name] = {
                    metric: round(bd_rate(plain, found, metric).percent, 2)
                    for metric in ("psnr", "ms_ssim")
                }
                print(profile, name, record[profile][name], flush=True)
    if args.output:
        args.output.write_text(
            json.dumps({"images": len(dataset.paths), "bd_rate_percent": record}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
