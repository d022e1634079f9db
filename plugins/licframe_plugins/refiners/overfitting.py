"""Latent overfitting (LOF) with a greedy search, arXiv 2210.04112.

The paper does not publish its search; this is ours. Gradients of the differentiable cost flow through
the synthesis and through every step of the context scheduler, so that changing an element feels its
effect on all later predictions. Runs of Adam differ in relaxation, learning rate and the latent they
start from. After each run the latent is rounded and really coded, and kept only where the true cost
``bits + lambda * distortion`` fell: a refined file is never worse.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from licframe.parts import RefinementObjective, Refiner, progress_bar, written_whole

from .plugin import OverfittingOptions
from .relaxations import RELAXATIONS, Relaxation


class LatentOverfitting(Refiner):
    """Search a better latent by gradients, greedily over relaxations, rates and restarts."""

    def __init__(self, options: OverfittingOptions) -> None:
        self.options = options

    def refine(self, objective: RefinementObjective) -> Tensor:
        options = self.options
        budget = _Budget(options.seconds, options.steps)
        log = _Log(options.log, objective)
        best, cost = objective.analysed, objective.true_cost(objective.analysed)
        log.add(cost=cost, kept=True)
        saved = log.latent()
        if saved is not None:
            again = objective.true_cost(saved)
            if again < cost:
                best, cost = saved, again
        generator = torch.Generator(objective.analysed.device).manual_seed(options.seed)
        with progress_bar("overfitting") if options.progress else nullcontext() as bar:

            def show(share: float, cost: float | Tensor) -> None:
                if bar is not None:
                    bar.update(share, text=f"cost {float(cost):.0f}")

            for relaxation, rate, restart in self._settings():
                if budget.spent():
                    break
                start = objective.analysed if restart == "start" else best
                candidate = self._run(
                    objective, start, RELAXATIONS[relaxation], rate, budget, generator, show
                )
                found = objective.true_cost(candidate)
                kept = found < cost
                log.add(cost=found, kept=kept, relaxation=relaxation, rate=rate, restart=restart)
                if kept:
                    best, cost = candidate, found
                    log.save(best)
                show(budget.share(), cost)
        return best

    def _settings(self) -> Iterator[tuple[str, float, str]]:
        """Yield relaxation, rate and restart of each run: the first from the start, then from the best."""
        options = self.options
        first = True
        while True:
            for rate, relaxation in product(options.rates, options.relaxations):
                yield relaxation, rate, "start" if first else "best"
                first = False

    def _run(
        self,
        objective: RefinementObjective,
        start: Tensor,
        relaxation: Relaxation,
        rate: float,
        budget: _Budget,
        generator: torch.Generator,
        show: Any,
    ) -> Tensor:
        """Return the latent after one run of Adam; the rate falls linearly to zero."""
        y = (start * objective.gain).clone().requires_grad_()
        adam = torch.optim.Adam([y], lr=rate)
        length = self.options.run
        for step in range(length):
            # A run that the budget would cut short is annealed over what is left.
            progress = max(step / length, budget.progress_of_run(step))
            if progress >= 1:
                break
            adam.param_groups[0]["lr"] = rate * (1 - progress)
            quantise = relaxation.make(progress, generator)
            cost = objective.estimated_cost(y / objective.gain, quantise, unit_slope=relaxation.unit_slope)
            adam.zero_grad(set_to_none=True)
            cost.backward()
            adam.step()
            budget.step()
            show(budget.share(), cost.detach())
        return y.detach() / objective.gain


class _Budget:
    """Seconds and steps, whichever ends first."""

    def __init__(self, seconds: float, steps: int) -> None:
        self.seconds, self.steps = seconds, steps
        self.begin = time.monotonic()
        self.taken = 0
        self._run_began = 0.0

    def step(self) -> None:
        self.taken += 1

    def share(self) -> float:
        """Return how much is spent, 0 to 1."""
        shares = [(time.monotonic() - self.begin) / self.seconds] if self.seconds else []
        shares += [self.taken / self.steps] if self.steps else []
        return min(1.0, max(shares))

    def spent(self) -> bool:
        return self.share() >= 1

    def progress_of_run(self, step: int) -> float:
        """Return how far a run is that lasts until the budget ends."""
        if step == 0:
            self._run_began = self.share()
        left = 1 - self._run_began
        return (self.share() - self._run_began) / left if left > 0 else 1.0


class _Log:
    """Objective against seconds, and the best latent, in a folder; nothing where none is named."""

    def __init__(self, folder: str, objective: RefinementObjective) -> None:
        self.begin = time.monotonic()
        self._device = objective.analysed.device
        self.path: Path | None = None
        if folder:
            key = zlib.crc32(
                objective.analysed.cpu().numpy().tobytes(),
                zlib.crc32(objective.gain.cpu().numpy().tobytes()),
            )
            self.path = Path(folder) / f"{key:08x}.jsonl"
            self.path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, **record: Any) -> None:
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(
                    json.dumps({"seconds": round(time.monotonic() - self.begin, 2), **record}) + "\n"
                )

    def save(self, latent: Tensor) -> None:
        if self.path is not None:
            with written_whole(self.path.with_suffix(".pt")) as partial:
                torch.save(latent.clone(), partial)

    def latent(self) -> Tensor | None:
        """Return the best latent of an earlier search of this image at this quality."""
        if self.path is None or not self.path.with_suffix(".pt").is_file():
            return None
        saved: Tensor = torch.load(
            self.path.with_suffix(".pt"), weights_only=True, map_location=self._device
        )
        return saved
