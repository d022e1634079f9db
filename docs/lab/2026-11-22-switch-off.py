"""What each block of a transform is worth: BD-rate without it (the switch-off test).

    python docs/lab/2026-11-22-switch-off.py --data data/ -o docs/results/blocks.json

A block that is switched off passes its input on. Rate is the information of the coded symbols, PSNR that of 8-bit
pictures; nothing is trained anew, so this says how much the codec relies on a block.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import bjontegaard
import torch

from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.evaluation import datasets
from licframe.evaluation.blocks import switched_off
from licframe.model import latent_coding
from licframe.model.interfaces import centre_to_float
from licframe.picture.error import psnr_of
from licframe.picture.images import read_picture
from licframe.picture.tensors import tensor_of
from licframe.runtime.atomic import write_json
from licframe.runtime.clock import Clock

QUALITIES = (0, 20, 40, 60, 80, 100)


@torch.inference_mode()
def curve(codec: LatentCodec, paths: list[Path]) -> tuple[list[float], list[float]]:
    """Return mean bpp and mean PSNR in dB by quality."""
    rates, fidelities = [0.0] * len(QUALITIES), [0.0] * len(QUALITIES)
    for path in paths:
        image = tensor_of(read_picture(path))
        h, w = image.shape[-2:]
        for k, quality in enumerate(QUALITIES):
            latent = codec.model.analyse(image, quality)
            coded = latent_coding.encode(codec.model, latent, quality, Clock())
            y = centre_to_float(coded.y) * codec.model.inverse_table[quality][:, None, None]
            decoded = (
                codec.model.transform.synthesis(y, torch.tensor([float(quality)]))[..., :h, :w]
                .clamp(0, 1)
                .mul(255)
                .round()
                .div(255)
            )
            rates[k] += coded.information / (h * w) / len(paths)
            fidelities[k] += psnr_of(float((decoded - image).square().mean())) / len(paths)
    return rates, fidelities


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds kodak/")
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    found = datasets.find("kodak", args.data).paths
    paths = list(found[:: max(1, len(found) // args.limit)])[: args.limit]
    codec = load_latent(args.profile)
    whole = curve(codec, paths)
    rows = []
    for name, block in codec.model.transform.removable_blocks().items():
        with switched_off(block):
            rates, fidelities = curve(codec, paths)
        # Curves whose fidelity no longer rises with rate, or that share no interval, have no BD-rate.
        percent = None
        if fidelities == sorted(fidelities) and fidelities[-1] > whole[1][0]:
            percent = round(
                bjontegaard.bd_rate(*whole, rates, fidelities, method="pchip", min_overlap=0), 1
            )
        loss = [round(a - b, 2) for a, b in zip(whole[1], fidelities, strict=True)]
        more = [round(b / a - 1, 3) for a, b in zip(whole[0], rates, strict=True)]
        rows.append(
            {"block": name, "bd_rate_psnr_percent": percent, "psnr_lost_db": loss, "rate_gained": more}
        )
        print(json.dumps(rows[-1]), flush=True)
    if args.output:
        record = {
            "profile": args.profile,
            "images": [path.name for path in paths],
            "qualities": QUALITIES,
            "blocks": rows,
        }
        write_json(args.output, record)


if __name__ == "__main__":
    main()
