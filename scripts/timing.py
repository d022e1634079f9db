"""Where the time goes: medians of encoding and decoding one picture, by stage.

python scripts/timing.py balanced kodim01.png --repeats 9
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import torch

from licframe.images import read_picture
from licframe.loading import load
from licframe.rate import Target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("image", type=Path)
    parser.add_argument("--quality", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    codec = load(args.profile)
    picture = read_picture(args.image)
    encodes, decodes = [], []
    for _ in range(args.repeats + 1):
        encoded = codec.encode(picture, Target(quality=args.quality))
        encodes.append(encoded.seconds)
        decodes.append(codec.decode(encoded.data).seconds)
    result: dict = {"image": args.image.name, "quality": args.quality, "threads": torch.get_num_threads()}
    for name, runs in (("encode", encodes[1:]), ("decode", decodes[1:])):  # the first warms up
        stages = {stage: round(statistics.median(run[stage] for run in runs), 3) for stage in runs[0]}
        totals = [sum(run.values()) for run in runs]
        result[name] = {
            "median": round(statistics.median(totals), 3),
            "min": round(min(totals), 3),
            **stages,
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
