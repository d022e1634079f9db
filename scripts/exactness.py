"""Encode in every setting, decode in every setting, compare: at least 500 pairs.

    python scripts/exactness.py balanced --images kodak/ -o docs/results/exactness.json

A pair is a file and a setting that decodes it. Symbols must be equal, pixels within one level in
fewer than 1 of 5000 samples.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import attrs

from licframe.images import read_picture
from licframe.testing import exactness


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("--images", type=Path, help="folder of pictures; synthetic ones if left out")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    if args.images:
        paths = sorted(args.images.iterdir())[: args.count]
        images = [read_picture(path).pixels[:384, :384] for path in paths]
    else:
        images = exactness.sample_images(args.count, 384)
    with tempfile.TemporaryDirectory() as folder:
        report = exactness.matrix(
            [args.profile], images, exactness.SETTINGS, Path(folder), qualities=(15,)
        )[args.profile]
    result = {
        "profile": args.profile,
        "pairs": report.pairs,
        "failures": list(report.failures),
        "largest_share_of_samples_off_by_one": report.largest_share,
        "settings": {name: attrs.asdict(setting) for name, setting in exactness.SETTINGS.items()},
    }
    print(json.dumps(result, indent=1))
    if args.output:
        args.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
