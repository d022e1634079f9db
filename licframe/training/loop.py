"""The training loop: one leg, bounded by wall clock, resumable."""

from __future__ import annotations

import importlib.util
import json
import math
import pickle
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from licframe.codec import Codec
from licframe.errors import LicframeError
from licframe.interfaces import parameter_kind
from licframe.training.data import Photographs, Source
from licframe.training.muon import Muon
from licframe.training.objective import Objective

RATES = {"matrix": 8e-3, "linear": 1e-4, "output": 1.2e-3, "bias": 1.2e-3, "scale": 6e-3}
"""Learning rate of each kind of parameter; "matrix" uses Muon, the rest AdamW."""

_INITIAL_PATCHES = 192
_MAX_FAILURES = 5


@attrs.frozen
class Leg:
    """What one training leg does.

    Attributes:
        minutes: wall clock; the learning rate follows the elapsed fraction.
        steps: stop after so many steps instead, for tests and checks.
        batch, patch: patches a step and their side in pixels.
        beta: weight of mean|y|, the L1 term.
        distortion: see ``objective.Objective``.
        rate: multiplies every learning rate.
        decay: share of the leg, at its end, in which the rates fall.
        checkpoint_minutes: how often a checkpoint is written.
    """

    minutes: float
    steps: int | None = None
    batch: int = 8
    patch: int = 256
    beta: float = 0.0
    distortion: str = "mse"
    rate: float = 1.0
    decay: float = 0.3
    seed: int = 0
    warmup: int = 200
    checkpoint_minutes: float = 5.0
    log_every: int = 50


class Average:
    """Exponential moving average of a model's parameters, and of another's, updated every few steps."""

    def __init__(self, model: nn.Module, also: nn.Module | None = None, every: int = 4) -> None:
        self.every = every
        named = list(model.named_parameters())
        if also is not None:
            named += also.named_parameters("also")
        named = [(name, p) for name, p in named if p.requires_grad]
        self.names = [name for name, _ in named]
        self.live = [p for _, p in named]
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
            if name in state:  # what is trained along may have come later
                value.copy_(state[name])


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
    if groups:
        made.append(torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0, fused=True))
    for optimiser in made:
        for group in optimiser.param_groups:
            group["full_lr"] = group["lr"]
    return made


def schedule(step: int, elapsed: float, warmup: int, decay: float = 0.3) -> float:
    """Return the factor of the learning rates: warm-up, constant, and a cosine to 1 % in the last share of the leg."""
    factor = min(1.0, (step + 1) / warmup)
    if elapsed > 1 - decay:
        factor *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, 1 - (1 - elapsed) / decay)))
    return factor


class Tally:
    """Sums of loss, bpp and MSE by range of quality, kept on the device between two logs."""

    EDGES = (25, 50, 75)

    def __init__(self, device: torch.device) -> None:
        self.edges = torch.tensor(self.EDGES, device=device, dtype=torch.float32)
        self.sums = torch.zeros(len(self.EDGES) + 1, 4, device=device)

    def add(self, quality: Tensor, detail: Tensor) -> None:
        """Add samples: qualities ``(N,)`` and ``(3, N)`` of loss, bpp and MSE."""
        row = torch.cat([torch.ones_like(quality)[None], detail]).T
        self.sums.index_add_(0, torch.bucketize(quality, self.edges), row)

    def figures(self) -> dict[str, Any]:
        """Return means since the last call, with the PSNR of each range of quality; start anew."""
        sums = self.sums.tolist()
        self.sums.zero_()
        count = max(1.0, sum(row[0] for row in sums))
        psnr = [-10 * math.log10(row[3] / row[0]) if row[3] > 0 else None for row in sums]
        return {
            "loss": sum(row[1] for row in sums) / count,
            "bpp": sum(row[2] for row in sums) / count,
            "psnr_by_quality": psnr,
        }


class Trainer:
    """Train a codec for one leg, writing ``checkpoint.pt`` and ``log.jsonl`` into a run folder.

    An objective may have a module ``also``, which is trained, averaged and saved beside the codec.
    """

    def __init__(
        self,
        codec: Codec,
        data: Source,
        leg: Leg,
        folder: Path,
        fabric: Fabric,
        objective: nn.Module | None = None,
    ) -> None:
        self.objective: Any = objective or Objective(codec, leg.beta, leg.distortion)
        self.also: nn.Module | None = getattr(self.objective, "also", None)
        self.codec, self.data, self.leg, self.folder, self.fabric = codec, data, leg, folder, fabric
        self.patches = 0
        self.minutes = 0.0
        self.rng = random.Random(leg.seed + fabric.global_rank)
        self._restored: dict[str, Any] | None = None
        self._board: Any = None
        torch.manual_seed(leg.seed + fabric.global_rank)
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        """Where the run is saved, every few minutes and at its end."""
        return self.folder / "checkpoint.pt"

    def initialise(self, photographs: Photographs) -> None:
        """Set the linear start from training images."""
        self.codec.initialise(photographs.patches(_INITIAL_PATCHES, self.leg.patch, self.rng).cpu())

    def resume(self) -> None:
        """Go on from the newest checkpoint of the run folder.

        Raises:
            LicframeError: there is none, or it belongs to another profile.
        """
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            self.codec.load_state_dict(state["model"])
        except FileNotFoundError as error:
            raise LicframeError(
                f"nothing to resume: there is no {self.checkpoint}; leave out --resume"
            ) from error
        except (RuntimeError, pickle.UnpicklingError, KeyError) as error:
            raise LicframeError(
                f"cannot resume from {self.checkpoint}: it is damaged or of another profile ({error}); use "
                "another --folder"
            ) from error
        if self.also is not None and "also" in state:
            self.also.load_state_dict(state["also"])
        self.patches, self.minutes = state["patches"], state["minutes"]
        self.rng.seed(self.leg.seed + self.patches)
        torch.manual_seed(self.leg.seed + self.patches)
        self._restored = state

    def run(self, progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """Train for the leg; leave the averaged weights in the codec; return the last figures.

        Raises:
            LicframeError: the loss stayed infinite or NaN after the rate was halved five times.
        """
        leg, device = self.leg, self.fabric.device
        model = self.fabric.setup_module(self.objective)
        plain = optimisers(self.codec, leg.rate)
        if self.also is not None:
            plain += optimisers(self.also, leg.rate)
        opts: list[Any] = [self.fabric.setup_optimizers(o) for o in plain]
        average = Average(self.codec, self.also)
        if self._restored:  # perhaps of a leg that trained nothing along
            for opt, saved in zip(plain, self._restored["optimisers"], strict=False):
                opt.load_state_dict(saved)
            average.load({k: v.to(device) for k, v in self._restored["average"].items()})
        # Muon's update does not depend on the gradient's length; the others are clipped.
        clipped = [p for o in plain if not isinstance(o, Muon) for g in o.param_groups for p in g["params"]]
        tally, figures = Tally(device), {}
        # Restored moments need no long warm-up.
        warmup = max(1, leg.warmup // 4) if self._restored else leg.warmup
        if importlib.util.find_spec("tensorboard") and self.fabric.is_global_zero:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.folder / "tensorboard"))
        failures = step = 0
        waited = 0.0
        begin = saved_at = time.monotonic()
        patches_at_start = self.patches
        while True:
            now = time.monotonic()
            elapsed = (now - begin) / (60 * leg.minutes) if leg.steps is None else step / leg.steps
            if elapsed >= 1:
                break
            factor = schedule(step, elapsed, warmup, leg.decay) * 0.5**failures
            for group in (g for o in plain for g in o.param_groups):
                group["lr"] = group["full_lr"] * factor
            batch = [x.to(device) for x in self.data.batch(leg.batch, leg.patch, self.rng)]
            waited += time.monotonic() - now
            if hasattr(self.objective, "elapsed"):  # one whose weights change over the leg
                self.objective.elapsed = elapsed
            loss, detail = model(*batch)
            self.fabric.backward(loss)
            norm = torch.nn.utils.clip_grad_norm_(clipped, 1.0)
            # On a GPU looking at every step would make the host wait for the device.
            look = device.type == "cpu" or step % leg.log_every == 0
            if look and not torch.isfinite(loss.detach() + norm):
                failures += 1
                if failures > _MAX_FAILURES:
                    torch.save(batch, self.folder / "bad_batch.pt")
                    raise LicframeError(
                        f"training diverged at step {step}: the loss is not finite; the batch is in "
                        f"{self.folder / 'bad_batch.pt'}; go on with --resume and a lower --rate"
                    )
            else:
                for opt in opts:
                    opt.step()
                average.update(step)
                tally.add(batch[-1], detail)
                step += 1
                self.patches += leg.batch * self.fabric.world_size
            for opt in opts:
                opt.zero_grad(set_to_none=True)
            if step % leg.log_every == 0:
                seconds = time.monotonic() - begin
                figures = {
                    "step": step,
                    "patches": self.patches,
                    **tally.figures(),
                    "patches_per_s": (self.patches - patches_at_start) / seconds,
                    "waiting": waited / seconds,
                    "elapsed": elapsed,
                }
                self._log(figures)
                if progress:
                    progress(figures)
            if time.monotonic() - saved_at > 60 * leg.checkpoint_minutes:
                self._save(plain, average, time.monotonic() - begin)
                saved_at = time.monotonic()
        self.minutes += (time.monotonic() - begin) / 60
        self._save(plain, average, 0.0)
        if self._board is not None:
            self._board.close()
        with torch.no_grad():
            for p, value in zip(average.live, average.values, strict=True):
                p.copy_(value)
        return figures

    def _log(self, figures: dict[str, Any]) -> None:
        """Append to the log, and to TensorBoard's where it is installed."""
        if not self.fabric.is_global_zero:
            return
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(figures) + "\n")
        if self._board is not None:
            for name in ("loss", "bpp", "patches_per_s"):
                self._board.add_scalar(name, figures[name], self.patches)

    def _save(self, plain: Sequence[torch.optim.Optimizer], average: Average, seconds: float) -> None:
        """Write the checkpoint whole or not at all."""
        if not self.fabric.is_global_zero:
            return
        state = {
            "model": self.codec.state_dict(),
            **({} if self.also is None else {"also": self.also.state_dict()}),
            "average": average.state_dict(),
            "optimisers": [o.state_dict() for o in plain],
            "patches": self.patches,
            "minutes": self.minutes + seconds / 60,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)
