"""What a choice is worth in equal time: short runs from nothing, one thing changed at a time.

    OMP_NUM_THREADS=1 python docs/lab/2026-11-23-equal-time.py --data photographs/ --images data/kodak -o docs/results/equal_time.json
    python docs/lab/2026-11-23-equal-time.py -o docs/results/equal_time.json --only adamw noise --data ... --images ...
    python docs/lab/2026-11-23-equal-time.py -o docs/results/equal_time.json --table

Each run takes the same minutes, from the linear start, on as many cores as torch has; the figure is the loss on sixty crops
of Kodak (``licframe bench loss``). Runs that the file holds are kept. What wins early need not win late.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from licframe.model.gains import LAMBDA_MIN
from licframe.profile.profile import latent_profile
from licframe.runtime.atomic import write_json
from licframe.training import (
    RATES,
    MakeObjective,
    Optimiser,
    Photographs,
    RateDistortion,
    Schedule,
    Settings,
    add_noise,
    even_weight,
    train,
)
from licframe.training.development import crops, losses

BASE: dict[str, Any] = {"batch": 8, "patch": 256, "rate": 1.0, "decay": 0.3, "warmup": 60}


def adamw(rate: float) -> Optimiser:
    """Return what gives the hidden convolutions to AdamW, too."""
    return Optimiser(rates={**RATES, "matrix": rate}, matrices=None)


def soap(params: list[Tensor], rate: Tensor) -> torch.optim.Optimizer:
    """Return SOAP, the library's, at 0.003; its step costs more than Muon's."""
    from pytorch_optimizer import SOAP  # only this run needs it: pip install pytorch-optimizer

    class Soap(SOAP):  # type: ignore[misc]
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                group["lr"] = 3e-3 / RATES["matrix"] * float(rate)
            super().step(closure)

    return Soap(params, lr=3e-3, weight_decay=0.0)


def weighted(power: float) -> MakeObjective:
    """Return an objective in which a sample counts in proportion to ``lambda ** power``, in the mean as much as ever."""

    def weight(lam: Tensor) -> Tensor:
        # Qualities are drawn evenly, and the mean of 100^(power x) over x in 0..1 is this.
        mean = (100**power - 1) / math.log(100**power)
        return even_weight(lam) * (lam / LAMBDA_MIN) ** power / mean

    return lambda codec, _: RateDistortion(codec, weight=weight)


@attrs.frozen
class Variant:
    """One change: what it is in words, settings of the profile, fields of the schedule, or arguments of ``train``."""

    text: str
    settings: tuple[str, ...] = ()
    schedule: dict[str, Any] = attrs.field(factory=dict)
    arguments: dict[str, Any] = attrs.field(factory=dict)


def transform(text: str, widths: str, analysis: str, synthesis: str) -> Variant:
    settings = (
        f"transform.widths={widths}",
        f"transform.analysis={analysis}",
        f"transform.synthesis={synthesis}",
    )
    return Variant(text, settings)


VARIANTS = {
    "base": Variant("`balanced`, batches of 8, rate 1"),
    "seed": Variant("the same, another seed", arguments={"seed": 1}),
    "adamw": Variant("AdamW at 0.001 in place of Muon", arguments={"optimiser": adamw(1e-3)}),
    "adamw-low": Variant("AdamW at 0.0003 in place of Muon", arguments={"optimiser": adamw(3e-4)}),
    "soap": Variant("SOAP at 0.003 in place of Muon", arguments={"optimiser": Optimiser(matrices=soap)}),
    "noise": Variant(
        "noise in place of straight-through rounding",
        arguments={"objective": lambda codec, _: RateDistortion(codec, quantise=add_noise)},
    ),
    "frozen": Variant(
        "linear merges frozen",
        arguments={"optimiser": Optimiser({k: r for k, r in RATES.items() if k != "linear"})},
    ),
    "half-rate": Variant("all rates halved", schedule={"rate": 0.5}),
    "double-rate": Variant("all rates doubled", schedule={"rate": 2.0}),
    "no-warmup": Variant("warm-up of 10 steps in place of 60", schedule={"warmup": 10}),
    "long-decay": Variant("rates fall over 60 % of the time, not 30", schedule={"decay": 0.6}),
    "batch-4": Variant("batches of 4", schedule={"batch": 4}),
    "batch-16": Variant("batches of 16", schedule={"batch": 16}),
    "patch-128": Variant("32 patches of 128x128", schedule={"batch": 32, "patch": 128}),
    "patch-384": Variant("4 patches of 384x384", schedule={"batch": 4, "patch": 384}),
    "weight-high": Variant("plain `R + lambda D`", arguments={"objective": weighted(0.5)}),
    "weight-low": Variant("`R / lambda + D`", arguments={"objective": weighted(-0.5)}),
    "channels-192": Variant("192 channels of the latent", ("transform.channels=192",)),
    "channels-320": Variant("320 channels of the latent", ("transform.channels=320",)),
    "narrow": transform("1/4: 48 channels", "[48,64,96,48,96,96]", "[9,1,1]", "[5,2,1]"),
    "wide": transform("1/4: 96 channels, layers halved", "[96,64,96,96,96,96]", "[4,1,1]", "[2,2,1]"),
    "only-quarter": transform("no blocks at 1/8 and 1/16", "[64,0,0,64,0,0]", "[9,0,0]", "[5,0,0]"),
    "coarse": transform(
        "half the layers at 1/4, twice at 1/8", "[64,96,96,64,128,96]", "[4,4,1]", "[2,5,1]"
    ),
    "context-narrow": Variant(
        "context 128 wide", ("context_scheduler.width=128", "context_scheduler.hidden=128")
    ),
    "context-shallow": Variant("context with one block", ("context_scheduler.blocks=1",)),
    "scales-3": Variant("three scales of the context", ("context_scheduler.levels=3",)),
    "scales-5": Variant("five scales of the context", ("context_scheduler.levels=5",)),
    "phases-3": Variant("three phases a scale", ("context_scheduler.phases=3",)),
    "one-group": Variant("channels in one group", ("context_scheduler.groups=[]",)),
    "five-groups": Variant("five groups of channels", ("context_scheduler.groups=[8,32,64,128]",)),
}


def run(variant: Variant, minutes: float, photographs: Photographs, images: Tensor) -> dict[str, Any]:
    """Return the losses of one run."""
    schedule = Schedule(minutes=minutes, **{**BASE, **variant.schedule})
    with tempfile.TemporaryDirectory() as folder:
        made = train(
            latent_profile("balanced", variant.settings),
            photographs,
            folder=folder,
            schedule=schedule,
            settings=Settings(checkpoint_seconds=math.inf),
            **variant.arguments,
        )
        found = losses(made.load().model, images)
    return {"patches": made.patches, "loss": [round(x, 4) for x in found]}


def table(record: dict[str, Any]) -> str:
    """Return what was found as Markdown, best first."""
    runs = record["legs"]
    base = runs.get("base", next(iter(runs.values())))["loss"]
    lines = [
        "| change | patches | loss, quality 5 / 50 / 95 | mean | against `balanced` |",
        "|---|---|---|---|---|",
    ]
    mean = {name: sum(row["loss"]) / len(row["loss"]) for name, row in runs.items()}
    for name in sorted(mean, key=lambda name: mean[name]):
        loss = runs[name]["loss"]
        change = mean[name] / (sum(base) / len(base)) - 1
        lines.append(
            f"| {VARIANTS[name].text} | {runs[name]['patches']:,} | {loss[0]:.3f} / {loss[2]:.3f} / "
            f"{loss[4]:.3f} | {mean[name]:.4f} | {change:+.1%} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--images", type=Path, help="folder of Kodak")
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--table", action="store_true", help="train nothing")
    args = parser.parse_args()

    def held() -> dict[str, Any]:
        if not args.output.exists():
            return {"minutes": args.minutes, "threads": torch.get_num_threads(), "legs": {}}
        return json.loads(args.output.read_text())

    missing = [name for name in args.only if name not in held()["legs"]]
    if not args.table and missing:
        if not args.data or args.images is None:
            parser.error("name the training data with --data and Kodak with --images")
        photographs = Photographs(
            args.data, candidates=latent_profile("balanced").training.candidates, patch=384
        )
        images = crops(sorted(args.images.glob("*.png")))
        for name in missing:
            row = run(VARIANTS[name], args.minutes, photographs, images)
            print(name, row, flush=True)
            record = held()  # another process may have added to it
            record["legs"][name] = row
            write_json(args.output, record)
    print(table(held()))


if __name__ == "__main__":
    main()
