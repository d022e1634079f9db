"""The training loop: one leg, bounded by wall clock, resumable."""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from licframe.codec import Codec
from licframe.errors import LicframeError
from licframe.rate import lambda_of
from licframe.training.data import Photographs
from licframe.training.muon import Muon

RATES = {"matrix": 8e-3, "linear": 1e-4, "output": 1.2e-3, "bias": 1.2e-3, "scale": 6e-3}
"""Learning rate of each kind of parameter; "matrix" uses Muon, the rest AdamW."""

_REFERENCE_LAMBDA = 0.013
_INITIAL_PATCHES = 192


@attrs.frozen
class Leg:
    """What one training leg does.

    Attributes:
        minutes: wall clock; the learning rate follows the elapsed fraction.
        steps: stop after so many steps instead, for tests and checks.
        batch, patch: patches a step and their side in pixels.
        beta: weight of mean|y|, the L1 term.
        rate: multiplies every learning rate.
        checkpoint_minutes: how often a checkpoint is written.
    """

    minutes: float
    steps: int | None = None
    batch: int = 8
    patch: int = 256
    beta: float = 0.0
    rate: float = 1.0
    seed: int = 0
    warmup: int = 200
    checkpoint_minutes: float = 5.0
    log_every: int = 50


class Objective(nn.Module):
    """``L = R + lambda * 255^2 * MSE (+ beta * mean|y|)``, each sample over sqrt(lambda / 0.013)."""

    def __init__(self, codec: Codec, beta: float) -> None:
        super().__init__()
        self.codec = codec
        self.beta = beta

    def forward(self, image: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and a tensor ``(3, N)`` of loss, bpp and MSE of each sample."""
        out = self.codec.estimate(image, quality)
        bpp = out.bits / (image.shape[-2] * image.shape[-1])
        mse = (out.image - image).float().square().mean((1, 2, 3))
        lam = lambda_of(quality)
        loss = bpp + lam * 255**2 * mse
        if self.beta:
            loss = loss + self.beta * out.latent.abs().mean((1, 2, 3))
        loss = loss / (lam / _REFERENCE_LAMBDA).sqrt()
        return loss.mean(), torch.stack([loss, bpp, mse]).detach()


class Average:
    """Exponential moving average of a model's parameters, updated every few steps."""

    def __init__(self, model: nn.Module, every: int = 4) -> None:
        self.every = every
        self.names = [name for name, _ in model.named_parameters()]
        self.live = [p for _, p in model.named_parameters()]
        self.values = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        if step % self.every == 0:
            decay = min(0.999, (1 + step) / (10 + step)) ** self.every
            torch._foreach_lerp_(self.values, [p.detach() for p in self.live], 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.values, strict=True))

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(state[name])


def parameter_kind(parameter: Tensor) -> str:
    """Return the kind a part gave its parameter, else "matrix" for convolutions, "bias" else."""
    return getattr(parameter, "kind", "matrix" if parameter.dim() == 4 else "bias")


def optimisers(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices and AdamW for everything else, rates by kind."""
    kinds: dict[str, list[Tensor]] = {kind: [] for kind in RATES}
    for p in model.parameters():
        if p.requires_grad:
            kinds[parameter_kind(p)].append(p)
    made: list[torch.optim.Optimizer] = []
    if kinds["matrix"]:
        made.append(Muon(kinds["matrix"], lr=RATES["matrix"] * rate))
    groups = [
        {"params": params, "lr": RATES[kind] * rate}
        for kind, params in kinds.items()
        if params and kind != "matrix"
    ]
    made.append(torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0, fused=True))
    for optimiser in made:
        for group in optimiser.param_groups:
            group["full_lr"] = group["lr"]
    return made


def schedule(step: int, elapsed: float, warmup: int) -> float:
    """Return the factor of the learning rates: warm-up, constant, cosine to 1 % from 70 % on."""
    factor = min(1.0, (step + 1) / warmup)
    if elapsed > 0.7:
        factor *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (elapsed - 0.7) / 0.3)))
    return factor


class Trainer:
    """Train a codec for one leg, writing ``checkpoint.pt`` and ``log.jsonl`` into a run folder."""

    def __init__(self, codec: Codec, data: Photographs, leg: Leg, folder: Path, fabric: Fabric) -> None:
        self.codec, self.data, self.leg, self.folder, self.fabric = codec, data, leg, folder, fabric
        self.patches = 0
        self.minutes = 0.0
        self.rng = random.Random(leg.seed)
        torch.manual_seed(leg.seed)
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def initialise(self) -> None:
        """Set the linear start from the training images."""
        self.codec.initialise(self.data.patches(_INITIAL_PATCHES, self.leg.patch, self.rng).cpu())

    def resume(self) -> None:
        """Go on from the newest checkpoint of the run folder."""
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise LicframeError(
                f"nothing to resume: {self.checkpoint} does not exist; leave out --resume"
            ) from error
        self.codec.load_state_dict(state["model"])
        self.patches, self.minutes = state["patches"], state["minutes"]
        self.rng.seed(self.leg.seed + self.patches)
        torch.manual_seed(self.leg.seed + self.patches)
        self._restored = state

    _restored: dict[str, Any] | None = None

    def run(self, progress: Callable[[dict[str, float]], None] | None = None) -> dict[str, float]:
        """Train for the leg; leave the averaged weights in the codec; return the last figures."""
        leg = self.leg
        model = self.fabric.setup_module(Objective(self.codec, leg.beta))
        made = optimisers(self.codec, leg.rate)
        opts = [self.fabric.setup_optimizers(o) for o in made]
        average = Average(self.codec)
        if self._restored:
            for opt, saved in zip(made, self._restored["optimisers"], strict=True):
                opt.load_state_dict(saved)
            average.load({k: v.to(self.fabric.device) for k, v in self._restored["average"].items()})
        others = [p for o in made if not isinstance(o, Muon) for g in o.param_groups for p in g["params"]]
        begin = saved_at = time.monotonic()
        waited, failures, step = 0.0, 0, 0
        sums: Tensor | None = None
        figures: dict[str, float] = {}
        last_log = (begin, 0)
        while True:
            now = time.monotonic()
            elapsed = (now - begin) / (60 * leg.minutes)
            if leg.steps is not None:
                elapsed = step / leg.steps
            if elapsed >= 1:
                break
            for opt in made:
                for group in opt.param_groups:
                    group["lr"] = group["full_lr"] * schedule(step, elapsed, leg.warmup) * 0.5**failures
            image = self.data.patches(leg.batch, leg.patch, self.rng).to(self.fabric.device)
            quality = torch.rand(leg.batch, device=self.fabric.device) * 100
            waited += time.monotonic() - now
            loss, detail = model(image, quality)
            self.fabric.backward(loss)
            norm = torch.nn.utils.clip_grad_norm_(others, 1.0)
            healthy = torch.isfinite(loss.detach() + norm)
            if self.fabric.device.type == "cpu" or step % leg.log_every == 0:
                # On a GPU looking at every step would make the host wait for the device.
                if not healthy:
                    failures += 1
                    if failures > 5:
                        torch.save({"image": image, "quality": quality}, self.folder / "bad_batch.pt")
                        raise LicframeError(
                            f"training diverged at step {step}: the loss is not finite; the batch is in "
                            f"{self.folder / 'bad_batch.pt'}; go on with --resume and a lower --rate"
                        )
                    for opt in opts:
                        opt.zero_grad(set_to_none=True)
                    continue
            for opt in opts:
                opt.step()
                opt.zero_grad(set_to_none=True)
            average.update(step)
            step += 1
            self.patches += leg.batch * self.fabric.world_size
            sums = detail.mean(1) if sums is None else sums + detail.mean(1)
            now = time.monotonic()
            if step % leg.log_every == 0:
                mean = (sums / leg.log_every).tolist()
                sums = None
                seconds = time.monotonic() - last_log[0]
                figures = {
                    "step": step, "patches": self.patches, "loss": mean[0], "bpp": mean[1],
                    "mse": mean[2], "patches_per_s": (self.patches - last_log[1]) / seconds
                    if last_log[1] else 0.0,
                    "waiting": waited / (time.monotonic() - begin), "elapsed": elapsed,
                }
                last_log = (time.monotonic(), self.patches)
                with (self.folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps(figures) + "\n")
                if progress:
                    progress(figures)
            if now - saved_at > 60 * leg.checkpoint_minutes:
                self._save(made, average, (now - begin) / 60)
                saved_at = now
        self._save(made, average, (time.monotonic() - begin) / 60)
        with torch.no_grad():
            for p, value in zip(average.live, average.values, strict=True):
                p.copy_(value)
        return figures

    def _save(
        self, made: list[torch.optim.Optimizer], average: Average, minutes: float
    ) -> None:
        state = {
            "model": self.codec.state_dict(),
            "average": average.state_dict(),
            "optimisers": [o.state_dict() for o in made],
            "patches": self.patches,
            "minutes": self.minutes + minutes,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)
