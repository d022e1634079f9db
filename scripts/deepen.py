"""Move weights into a transform with more layers and wider ones, fewer blocks, or both: where a deeper leg starts.

    python scripts/deepen.py balanced max_quality runs/deep/start.safetensors --set entropy_model.plugin=gaussian

What both have stays; new channels and blocks lead nowhere and new layers start near zero, so that the function changes only
by what is left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from licframe.loading import build, load
from licframe.profile import load_profile

_NEW_LAYER = 0.04


@torch.no_grad()
def moved(name: str, old: Tensor | None, new: Tensor) -> Tensor:
    """Return a tensor of the new shape, from that of the same name and from its random start."""
    if old is None:  # a layer, or a block, whose last convolution is zero
        return new * _NEW_LAYER if ".inner." in name else new
    if old.shape == new.shape:
        return old
    place = tuple(slice(0, size) for size in old.shape)
    if name.endswith("last.weight"):  # new inner channels lead nowhere
        new = torch.zeros_like(new)
    elif ".inner." in name and name.endswith("weight"):
        new = new * 0.5
        new[place[0]] = 0
    new[place] = old
    return new


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="profile whose weights are moved")
    parser.add_argument("target", help="profile to start")
    parser.add_argument("output", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="TABLE.KEY=VALUE")
    args = parser.parse_args()
    torch.manual_seed(0)
    old = load(args.source).state_dict()
    codec = build(load_profile(args.target, args.settings))
    codec.load_state_dict(
        {name: moved(name, old.get(name), value.clone()) for name, value in codec.state_dict().items()}
    )
    print(codec.save(args.output, {"moved_from": args.source}))


if __name__ == "__main__":
    main()
