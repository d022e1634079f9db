"""Measure what exactness costs: information under the frozen tables against the float model.

    python docs/lab/2026-11-21-freezing-cost.py balanced --images kodak/

The float side rounds the same latents around its own centres, without noise. A negative cost means
that the tables, with their escape code, are kinder to outliers than the float density.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from licframe.codec.loading import load_latent
from licframe.evaluation.information import float_information
from licframe.model import latent_coding
from licframe.picture.images import read_picture
from licframe.picture.tensors import tensor_of
from licframe.runtime.clock import Clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    codec = load_latent(args.profile)
    for quality in (0, 14, 29, 43, 57, 71, 86, 100):
        frozen = floating = 0.0
        for path in sorted(args.images.iterdir())[: args.limit]:
            with torch.inference_mode():
                latent = codec.model.analyse(tensor_of(read_picture(path)), quality)
                frozen += latent_coding.encode(codec.model, latent, quality, Clock()).information
            floating += float_information(codec.model, latent, quality)
        print(
            f"quality {quality:3}: float {floating:.0f} bits, frozen {frozen:.0f}, cost {frozen / floating - 1:+.3%}"
        )


if __name__ == "__main__":
    main()
