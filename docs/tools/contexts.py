"""Rate of every context on equal latents: the same transform, the same quality, other predictions.

    python docs/tools/contexts.py --images data/kodak -o docs/results/contexts.json

Sums the information of the coded symbols under the frozen tables over images and qualities, relative to the first
context. Files are within 0.3 % and 64 bytes of it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from licframe.codec.loading import load_latent
from licframe.model import latent_coding
from licframe.picture.images import read_picture
from licframe.picture.tensors import tensor_of
from licframe.runtime.atomic import write_json
from licframe.runtime.clock import Clock

QUALITIES = (14, 43, 71, 100)
# Each context by the profile that has it, and what is set in that
CONTEXTS = {
    "MSP, Student's t": ("balanced", []),
    "MSP, mixture of 3 Gaussians": ("balanced", ["entropy_model.plugin=gaussian-mixture"]),
    "MSP small, Student's t (fast)": ("fast", []),
    "checkerboard, GLLMM and Gaussian": ("checkerboard", []),
    "hyperprior only, Student's t": ("balanced", ["context_scheduler.plugin=hyperprior"]),
    "serial 5x5, Student's t": ("serial", []),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--more", action="append", default=[], metavar="NAME=PROFILE,SETTING,...")
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    contexts = dict(CONTEXTS)
    for text in args.more:
        name, _, rest = text.partition("=")
        profile, *settings = rest.split(",")
        contexts[name] = (profile, settings)
    paths = sorted(args.images.iterdir())[: args.limit]
    records, base = [], None
    for name, (profile, settings) in contexts.items():
        codec = load_latent(profile, settings)
        bits: list[float] = []
        begin = time.perf_counter()
        for path in paths:
            with torch.inference_mode():
                image = tensor_of(read_picture(path))
                bits += [
                    latent_coding.encode(codec.model, codec.model.analyse(image, q), q, Clock()).information
                    for q in QUALITIES
                ]
        base = base or bits
        mean = sum(b / a for a, b in zip(base, bits, strict=True)) / len(bits)
        records.append(
            {
                "context": name,
                "against_first": round(mean - 1, 5),
                "by_quality": {
                    q: round(sum(bits[k :: len(QUALITIES)]) / sum(base[k :: len(QUALITIES)]) - 1, 5)
                    for k, q in enumerate(QUALITIES)
                },
                "serial_passes_768x512": codec.model.scheduler.serial_passes(32, 48),
                "seconds_an_encoding": round((time.perf_counter() - begin) / len(bits), 3),
            }
        )
        print(json.dumps(records[-1]), flush=True)
    if args.output:
        record = {"images": [path.name for path in paths], "qualities": QUALITIES, "contexts": records}
        write_json(args.output, record)


if __name__ == "__main__":
    main()
