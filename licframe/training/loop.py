"""The training loop: one run, bounded by wall clock; it prints nothing and never waits for the device between two lines
of its log.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import attrs
import torch
from torch import Tensor

from licframe.errors import LicframeError, UsageError
from licframe.model.latent_model import LatentModel
from licframe.model.noise import part_of_batch
from licframe.picture.error import psnr_of
from licframe.runtime.atomic import written_whole
from licframe.training.capture import CapturedStep
from licframe.training.checkpoint import Checkpoint
from licframe.training.data import HeldOut, Source, drawn
from licframe.training.hardware import Hardware
from licframe.training.objective import Objective
from licframe.training.optimiser import Optimiser
from licframe.training.processes import Processes
from licframe.training.schedule import Schedule

_MAX_HALVINGS = 5
_OLD = 100_000
"""Steps after which an average is no longer young."""

_HELD_OUT_SHARE = 0.02
"""Of a run's time at most goes to the held-out loss, before its end."""


@attrs.frozen
class LogLine:
    """What a run says of itself every few steps.

    Attributes:
        step, patches: steps of this run; patches of all runs so far.
        loss, bpp: means since the last line; bpp is estimated, in bits per pixel.
        psnr_by_quality: dB, of the qualities below 25, 50, 75 and above; None where there was none.
        held_out: loss on pictures that are never trained on, the newest; None where it is not measured.
        patches_per_s: of this run; waiting: share of its time that went to making patches, where that can be told.
        progress: share of the run that is over.
        skipped: steps that were left out because the loss was not finite, so far.
    """

    step: int
    patches: int
    loss: float
    bpp: float
    psnr_by_quality: tuple[float | None, ...]
    held_out: float | None
    patches_per_s: float
    waiting: float | None
    progress: float
    skipped: int


class Callback(Protocol):
    """What a run tells others: any of a log's lines, or a remark in words."""

    def line(self, line: LogLine) -> None:
        """Take a line of the log."""

    def remark(self, text: str) -> None:
        """Take what a person might want to know."""


def heard(callbacks: Sequence[Callback], processes: Processes) -> Sequence[Callback]:
    """Return whom a process tells of a run: the first of several all, and that they are several; the others nobody."""
    if not processes.first:
        return ()
    for callback in callbacks if processes.count > 1 else ():
        callback.remark(f"{processes.count} processes share every step")
    return callbacks


@attrs.frozen
class Settings:
    """What a run does beside its schedule.

    Attributes:
        log_every, log_seconds: a line comes after so many steps, or so many seconds where steps are slow.
        held_out_seconds, checkpoint_seconds: how often at most the held-out loss is measured, a checkpoint written.
        capture: record steps as CUDA graphs; compile: compile the blocks of the transform.
        moments: keep the optimisers' moments in the checkpoint, which then is three times as large.
    """

    log_every: int = 50
    log_seconds: float = 60.0
    held_out_seconds: float = 60.0
    checkpoint_seconds: float = 300.0
    capture: bool = True
    compile: bool = False
    moments: bool = True


class Average:
    """Exponential moving average of parameters by name, updated every few steps."""

    def __init__(self, named: dict[str, Tensor], every: int = 4) -> None:
        self.every, self.live, self.age = every, named, 0
        self.values = {name: p.detach().clone() for name, p in named.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the parameters in after a step; young averages forget sooner."""
        if step % self.every == 0:
            decay = min(0.999, (1 + self.age) / (10 + self.age)) ** self.every
            self.age += self.every
            live = [p.detach() for p in self.live.values()]
            torch._foreach_lerp_(list(self.values.values()), live, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the averages and the parameters; twice is none."""
        for name, p in self.live.items():
            kept = p.detach().clone()
            p.copy_(self.values[name])
            self.values[name] = kept

    def load(self, state: dict[str, Tensor]) -> None:
        """Take averages by name; others, of what is trained beside since then, stay."""
        for name, value in self.values.items():
            if name in state and state[name].shape == value.shape:
                value.copy_(state[name])
                self.age = _OLD


class Tally:
    """Sums of loss, bpp and squared error by range of quality, kept on the device between two lines."""

    EDGES = (25, 50, 75)

    def __init__(self, device: torch.device, processes: Processes | None = None) -> None:
        self.processes = processes or Processes()
        self.edges = torch.tensor(self.EDGES, device=device, dtype=torch.float32)
        self.sums = torch.zeros(len(self.EDGES) + 1, 4, device=device)

    def add(self, quality: Tensor, detail: Tensor, weight: Tensor) -> None:
        """Add samples: qualities ``(N,)``, ``(3, N)`` of loss, bpp and MSE; a weight of 0 leaves them out."""
        row = torch.cat([torch.ones_like(quality)[None], torch.where(weight > 0, detail, 0.0)]).T * weight
        self.sums.index_add_(0, torch.bucketize(quality, self.edges), row)

    def figures(self) -> dict[str, Any]:
        """Return means since the last call, of all processes, with the PSNR of each range of quality; start anew."""
        sums = self.processes.total(self.sums).tolist()
        self.sums.zero_()
        count = max(1.0, sum(row[0] for row in sums))
        psnr = tuple(psnr_of(row[3] / row[0]) if row[3] > 0 else None for row in sums)
        return {
            "loss": sum(row[1] for row in sums) / count,
            "bpp": sum(row[2] for row in sums) / count,
            "psnr_by_quality": psnr,
        }


class _Pace:
    """How far a run is: of several processes, by the clock of the first, so that all do the same.

    Attributes:
        step: taken so far; before: patches seen before the run; waited: seconds that drawing batches took.
        seconds: since the run began, at the last look at the clock.
        decaying: the decay has begun.
    """

    def __init__(self, schedule: Schedule, before: int, processes: Processes) -> None:
        self._schedule, self._begin, self.before = schedule, time.monotonic(), before
        self._processes = processes
        self.step, self.waited, self.seconds, self.decaying = 0, 0.0, 0.0, False

    def look(self) -> float:
        """Look at the clock; return the seconds since the run began."""
        self.seconds = self._processes.agreed(time.monotonic() - self._begin)
        return self.seconds

    def progress(self) -> float:
        """Return the share of the run that is over; 1 and more at its end."""
        if self._schedule.steps is not None:
            return self.step / self._schedule.steps
        return self.seconds / (60 * self._schedule.minutes)


class Trainer:
    """Train a codec for one run.

    A step, a line of the log and a checkpoint are one method each. ``train`` (``runs.py``) is the way in that also
    makes the parts and writes the weights.

    Args:
        folder: gets ``checkpoint.pt``, the state before the decay; None writes nothing.
        held_out: measured now and then.
        of: what is trained, by aspect; a checkpoint that differs is not gone on with.
    """

    def __init__(
        self,
        model: LatentModel,
        source: Source,
        objective: Objective,
        schedule: Schedule,
        hardware: Hardware,
        *,
        optimiser: Optimiser | None = None,
        folder: Path | None = None,
        held_out: HeldOut | None = None,
        callbacks: Sequence[Callback] = (),
        settings: Settings | None = None,
        seed: int = 0,
        of: Mapping[str, str] | None = None,
    ) -> None:
        self.model, self.source, self.objective = model.to(hardware.device), source, objective
        self.objective.to(hardware.device).train()
        self.schedule, self.hardware, self.folder = schedule, hardware, folder
        self.processes = hardware.processes
        for progress in (0.0, 1.0):
            self.processes.share_of(schedule.shape(progress)[0])
        self.processes.equalise([*model.state_dict().values(), *objective.state_dict().values()])
        self.held_out, self.callbacks, self.settings = held_out, callbacks, settings or Settings()
        self.patches, self.minutes = 0, 0.0
        self.seed, self.of = seed, dict(of or {})
        self.lines: list[LogLine] = []
        device = hardware.device
        named = dict(model.named_parameters())
        if objective.auxiliary is not None:
            named |= {f"auxiliary.{name}": p for name, p in objective.auxiliary.named_parameters()}
        self.optimisers = (optimiser or Optimiser()).over(named.items())
        self.average = Average(self.optimisers.parameters)
        self.undecayed: Checkpoint | None = None
        self._restored = False
        self._tally = Tally(device, self.processes)
        self._failures = torch.zeros((), device=device)
        self._halvings = self._skipped = 0
        self._bad: dict[tuple[int, ...], tuple[Tensor, ...]] = {}
        self._held_out_loss: float | None = None
        # A recording holds no message to other processes.
        recordable = objective.recordable and self.optimisers.recordable and self.processes.count == 1
        self._captured = CapturedStep(
            self.step,
            self.optimisers.clear,
            device,
            enabled=self.settings.capture and recordable,
            tell=self._remark,
        )
        if self.settings.compile:
            for block in model.transform.removable_blocks().values():
                block.compile()

    @property
    def checkpoint(self) -> Path:
        """Where the state before the decay is kept."""
        if self.folder is None:
            raise LicframeError("a run without a folder keeps no checkpoint")
        return self.folder / "checkpoint.pt"

    def resume(self) -> None:
        """Go on from the checkpoint of the run folder.

        Raises:
            FileError: there is none, or it is damaged. UsageError: it is of something else.
        """
        state = Checkpoint.read(self.checkpoint, self.optimisers.parameters)
        differs = [key for key, value in self.of.items() if state.of.get(key, value) != value]
        if differs:
            raise UsageError(
                f"cannot resume from {self.checkpoint}: it is of another {' and '.join(differs)}; use another --folder"
            )
        try:
            self.model.load_state_dict(state.model)
            if self.objective.auxiliary is not None and state.auxiliary is not None:
                self.objective.auxiliary.load_state_dict(state.auxiliary)
        except RuntimeError as error:
            raise UsageError(
                f"cannot resume from {self.checkpoint}: it is of another profile ({str(error).splitlines()[-1].strip()}); "
                "use another --folder"
            ) from error
        self.average.values = {name: p.detach().clone() for name, p in self.average.live.items()}
        self.average.load(state.average)
        self._restored = self.optimisers.restore(state.moments) > 0
        self.patches, self.minutes, self.undecayed = state.patches, state.minutes, state

    def step(self, *batch: Tensor) -> None:
        """Take one training step; reads nothing back, so that it can be recorded."""
        processes = self.processes
        with self.hardware.autocast(), part_of_batch(processes.rank, processes.count):
            loss, detail = self.objective(*batch)
        loss.backward()
        bad = self.optimisers.step(processes.average(loss.detach(), self.optimisers.parameters.values()))
        self.optimisers.clear()
        self._failures += bad
        shape = tuple(batch[0].shape)
        if shape not in self._bad:
            self._bad[shape] = tuple(torch.zeros_like(value) for value in batch)
        for kept, value in zip(self._bad[shape], batch, strict=True):
            kept.copy_(torch.where(bad > 0, value, kept))
        self._tally.add(batch[-1], detail, 1 - bad)

    def take(self, step: int, progress: float, *, decaying: bool = False, slower: float = 1.0) -> float:
        """Draw a batch and take a step with this process's part, recorded or not; return the seconds that drawing took.

        Args:
            step: its number in this run; progress: share of the run that is over.
            slower: multiplies the rates.
        """
        begin = time.monotonic()
        factor = self.schedule.factor(step, progress, restored=self._restored) * slower
        self.optimisers.set(factor, self.schedule.decay_beta2 if decaying else self.schedule.beta2)
        count, side = self.schedule.shape(progress)
        batch = drawn(self.source, count, side, self.processes)
        seconds = time.monotonic() - begin
        key: Hashable = (count, side, decaying, self.objective.advance(progress))
        self._captured(key, batch)
        self.average.update(step)
        self.patches += count
        return seconds

    def run(self) -> None:
        """Train for the schedule; then hold the better of last and averaged weights, as the held-out loss says.

        An interrupt (Ctrl-C) ends the run early and orderly; of several processes, which may be at different places, at once.

        Raises:
            LicframeError: the loss stayed infinite or NaN after the rate was halved five times.
        """
        torch.manual_seed(self.seed + self.patches)
        pace = _Pace(self.schedule, self.patches, self.processes)
        try:
            self._go(pace)
        except KeyboardInterrupt:
            if self.processes.count > 1:
                raise
            self.optimisers.clear()
            self._remark("interrupted: the run ends here")
        seconds = pace.look()
        if not pace.decaying:
            self._save(seconds)
        self.minutes += seconds / 60
        self._choose()
        self._log(pace)

    def _go(self, pace: _Pace) -> None:
        settings = self.settings
        at_once = self.hardware.device.type == "cpu"  # where looking costs nothing
        logged = saved = measured = pace.look()
        cost = 0.0
        while pace.progress() < 1:
            if self.schedule.decaying(pace.progress()) and not pace.decaying:
                pace.decaying = True
                if pace.step or self.undecayed is None:  # else it is what was resumed from
                    self._save(pace.seconds)
            pace.waited += self.take(
                pace.step, pace.progress(), decaying=pace.decaying, slower=0.5**self._halvings
            )
            pace.step += 1
            now = pace.look()
            due = pace.step % settings.log_every == 0 or now - logged >= settings.log_seconds
            if due or at_once:
                self._check(recover=due)
            if due:
                if now - measured >= max(settings.held_out_seconds, cost / _HELD_OUT_SHARE):
                    self.measure()
                    measured = pace.look()
                    cost = measured - now
                self._log(pace)
                logged = now
            if not pace.decaying and now - saved >= settings.checkpoint_seconds:
                self._save(now)
                saved = pace.look()

    def measure(self) -> float | None:
        """Return the held-out loss of the weights as they are, as the first process finds it; None where nothing is held out."""
        if self.held_out is not None:
            self._held_out_loss = self.processes.first_says(partial(self._loss_on, self.held_out))
        return self._held_out_loss

    def _loss_on(self, held_out: HeldOut) -> float:
        self.objective.eval()
        with self.hardware.autocast():
            loss = float(held_out.loss(self.objective))
        self.objective.train()
        return loss

    def _choose(self) -> None:
        """Leave the averaged weights in the codec, unless the last do better on what was held out."""
        last = self.measure()
        self.average.swap()
        averaged = self.measure()
        if last is not None and averaged is not None and last < averaged:
            self.average.swap()
            self._held_out_loss = last

    def _check(self, *, recover: bool) -> None:
        """Halve the rates where steps were left out since the last look; stop where halving did not help.

        Args:
            recover: double them again where none was left out.
        """
        found = int(self._failures)
        self._failures.zero_()
        self._skipped += found
        if not found:
            self._halvings = max(0, self._halvings - recover)
            return
        self._halvings += 1
        if self._halvings > _MAX_HALVINGS:
            where = ""
            if self.folder is not None and self.processes.first:
                with written_whole(self.folder / "bad_batch.pt") as partial:
                    torch.save(list(self._bad.values()), partial)
                part = "the batch" if self.processes.count == 1 else "this process's part of the batch"
                where = f"; {part} is in {self.folder / 'bad_batch.pt'}"
            raise LicframeError(
                f"training diverged: the loss or a gradient is not finite{where}; go on with --resume and a "
                "lower --rate"
            )
        self._remark(f"steps left out whose loss is not finite: {found}; rates halved")

    def _log(self, pace: _Pace) -> None:
        figures = self._tally.figures()
        if (
            not figures["loss"] and self.lines
        ):  # the last line may come right after another, with no step between
            figures = {key: getattr(self.lines[-1], key) for key in figures}
        seconds = pace.look()
        line = LogLine(
            step=pace.step,
            patches=self.patches,
            **figures,
            held_out=self._held_out_loss,
            patches_per_s=(self.patches - pace.before) / seconds,
            # Where work is queued, the time to queue it says nothing.
            waiting=pace.waited / seconds if self.hardware.device.type == "cpu" else None,
            progress=min(1.0, pace.progress()),
            skipped=self._skipped,
        )
        self.lines.append(line)
        for callback in self.callbacks:
            callback.line(line)

    def _remark(self, text: str) -> None:
        for callback in self.callbacks:
            callback.remark(text)

    def _save(self, seconds: float) -> None:
        """Keep the state that the next run goes on from."""
        auxiliary = self.objective.auxiliary
        moments = self.optimisers.state() if self.settings.moments else {}
        self.undecayed = Checkpoint(
            model=_kept(self.model.state_dict()),
            average=_kept(self.average.values),
            moments={name: _kept(state) for name, state in moments.items()},
            patches=self.patches,
            minutes=self.minutes + seconds / 60,
            auxiliary=None if auxiliary is None else _kept(auxiliary.state_dict()),
            of=self.of,
        )
        if self.folder is not None and self.processes.first:
            self.undecayed.write(self.checkpoint)


def _kept(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies in main memory."""
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
