"""Work for workers, in a module that they import in no time; and an engine without any."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import attrs

from licframe.batch.coding import Job, Jobs, Outcome
from licframe.batch.engines import Engine
from licframe.errors import UsageError


class Here(Engine):
    """Work is done in this process, one task after the other."""

    def __init__(self, workers: int | None, memory: int) -> None:
        self.workers = 1

    def run(self, work, tasks):
        for number, task in enumerate(tasks):
            yield number, work(task)


@attrs.frozen
class Twice:
    """Doubles numbers; a text stops it in one way or another."""

    folder: Path

    def __call__(self, task: int | str) -> int | str:
        if task == "refuse":
            raise UsageError("not like that")
        if task == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "die once" and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * task


@attrs.frozen
class Broken:
    """Cannot be made in a worker."""

    value: int = 0

    def __reduce__(self):
        return stop, ()


def stop() -> None:
    """End the process, without a word."""
    os._exit(7)


@attrs.frozen
class Slow:
    """Sleeps as long as it is told, after a file in a folder has the number of the process for its name."""

    folder: Path

    def __call__(self, seconds: float) -> float:
        if seconds:
            (self.folder / str(os.getpid())).touch()
        time.sleep(seconds)
        return seconds


class Deadly(Jobs):
    """Jobs of which one is the end of any worker."""

    def __call__(self, job: Job) -> Outcome:
        if job.source.name == "1.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(job)
