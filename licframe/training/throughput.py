"""How fast a run would be, before one is spent: patches a second, and which share of the device's best that is."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import torch

from licframe.codec.loading import build
from licframe.evaluation.complexity import multiplications
from licframe.profile import weights
from licframe.profile.profile import LatentProfile, latent_profile
from licframe.training.hardware import Hardware, hardware_on
from licframe.training.loop import Settings, Trainer
from licframe.training.runs import default_objective
from licframe.training.schedule import Schedule
from licframe.training.supply import Data, Name, Pictures

_WARM = 6
"""Steps before the clock runs: three until a step is recorded, and the recording."""


@attrs.frozen
class Throughput:
    """The speed of training steps.

    Attributes:
        how: eager, captured, or captured and compiled.
        patches_per_s: of the schedule's batch and patch.
        tflops: 10^12 floating-point operations a second, two for each multiplication, forward and backward.
        share: of the fastest matrix product measured on the device, in the precision of the run.
        waiting: share of the time that went to making patches, where that can be told.
    """

    how: str
    patches_per_s: float
    tflops: float
    share: float
    waiting: float | None

    def patches_in(self, minutes: float) -> int:
        """Return how many patches a run of some minutes would see."""
        return round(self.patches_per_s * 60 * minutes)


def throughput(
    profile: Name | LatentProfile,
    data: Data,
    *,
    start: Path | None = None,
    schedule: Schedule | None = None,
    hardware: Hardware | None = None,
    limit: int | None = None,
    steps: int = 14,
) -> list[Throughput]:
    """Measure training steps of a profile on a device; on a GPU in each way that a step can be run.

    Args:
        start: weights to begin from; the speed does not depend on them.
        steps: that are timed, after some that are not.

    The other arguments are those of ``train``.
    """
    checked = profile if isinstance(profile, LatentProfile) else latent_profile(str(profile))
    schedule, hardware = schedule or Schedule.of(checked), hardware or hardware_on()
    ways = {"eager": Settings(capture=False)}
    if hardware.device.type == "cuda":
        ways |= {"captured": Settings(), "captured and compiled": Settings(compile=True)}
    found = []
    with torch.random.fork_rng(), hardware.settings():
        torch.manual_seed(0)
        pictures = Pictures.of(data, checked.training, schedule, hardware, limit)
        peak = _peak(hardware)
        images = pictures.training.batch(64, schedule.patch)[0].cpu() if start is None else None
        for how, settings in ways.items():
            model = build(checked)
            if start is not None:
                weights.load(start, model, checked.structure())
            elif images is not None:
                model.initialise(images)
            objective = default_objective(checked.training, "all", schedule)(
                model.to(hardware.device), None
            )
            trainer = Trainer(model, pictures.training, objective, schedule, hardware, settings=settings)
            found.append(_timed(trainer, how, steps, peak))
    return found


def _timed(trainer: Trainer, how: str, steps: int, peak: float) -> Throughput:
    device, (count, side) = trainer.hardware.device, trainer.schedule.shape(0.0)
    batch = trainer.source.batch(count, side)
    operations = 2 * multiplications(lambda: trainer.step(*batch))
    for number in range(_WARM):
        trainer.take(number, 0.0)
    _wait(device)
    begin, waited = time.monotonic(), 0.0
    for number in range(steps):
        waited += trainer.take(_WARM + number, 0.0)
    _wait(device)
    seconds = (time.monotonic() - begin) / steps
    rate = operations / seconds
    waiting = waited / steps / seconds if device.type == "cpu" else None
    return Throughput(how, count / seconds, rate / 1e12, rate / peak, waiting)


def _peak(hardware: Hardware) -> float:
    """Return the floating-point operations a second of the fastest of a few square products."""
    device = hardware.device
    side, rounds = (8192, 20) if device.type == "cuda" else (2048, 3)
    kind = torch.bfloat16 if hardware.bfloat16 else torch.float32
    x = torch.randn(side, side, device=device).to(kind)
    best = 0.0
    for _ in range(3):
        _wait(device)
        begin = time.monotonic()
        for _ in range(rounds):
            x @ x
        _wait(device)
        best = max(best, 2 * side**3 * rounds / (time.monotonic() - begin))
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
