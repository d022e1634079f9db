"""The training loss on sixty fixed crops of Kodak: whether a leg gains, in half a minute.

    python scripts/development_loss.py --images data/kodak balanced runs/balanced/checkpoint.pt

Names a profile's own weights, weights files or checkpoints (their averaged weights), all of one structure. Prints the loss at
five qualities and their mean; BD-rates need whole files (`licframe bench rd`).
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch

from licframe import weights
from licframe.codec import Codec
from licframe.loading import build
from licframe.picture.images import read_picture
from licframe.picture.tensors import tensor_of
from licframe.profile import Profile, load_profile
from licframe.training import RateDistortion

CROPS, SIDE = 60, 256
QUALITIES = (5, 25, 50, 75, 95)


def crops(folder: Path) -> torch.Tensor:
    """Return the crops ``(60, 3, 256, 256)``, always the same."""
    rng, found = random.Random(0), []
    pictures = [tensor_of(read_picture(path))[0] for path in sorted(folder.glob("*.png"))]
    for number in range(CROPS):
        picture = pictures[number % len(pictures)]
        top, left = (rng.randint(0, size - SIDE) for size in picture.shape[1:])
        found.append(picture[:, top : top + SIDE, left : left + SIDE])
    return torch.stack(found)


def load(source: str, profile: Profile) -> Codec:
    """Return the codec of a weights file, a checkpoint, or the profile itself."""
    codec, path = build(profile), Path(source)
    if path.suffix == ".pt":
        state = torch.load(path, map_location="cpu", weights_only=True)
        codec.load_state_dict({**state["model"], **state["average"]})
        return codec
    found = path if path.suffix == ".safetensors" else profile.weights_path
    if found is None:
        raise SystemExit(f"{source} has no weights; name a weights file or a checkpoint")
    weights.load(found, codec, profile.structure())
    return codec


@torch.inference_mode()
def losses(codec: Codec, images: torch.Tensor) -> list[float]:
    """Return the mean loss at each quality."""
    objective, means = RateDistortion(codec), []
    for quality in QUALITIES:
        torch.manual_seed(0)
        parts = [
            objective(batch, torch.full((len(batch),), float(quality)))[0] for batch in images.split(10)
        ]
        means.append(float(torch.stack(parts).mean()))
    return means


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--profile", help="of weights files and checkpoints; the first source if left out")
    parser.add_argument("--images", type=Path, required=True)
    args = parser.parse_args()
    images = crops(args.images)
    for source in args.sources:
        named = source if Path(source).suffix not in (".pt", ".safetensors") else None
        found = losses(load(source, load_profile(named or args.profile or args.sources[0])), images)
        text = " ".join(f"{quality}: {loss:.4f}" for quality, loss in zip(QUALITIES, found, strict=True))
        print(f"{sum(found) / len(found):.4f}  {text}  {source}", flush=True)


if __name__ == "__main__":
    main()
