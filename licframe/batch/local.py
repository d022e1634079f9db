"""The engine of one machine: processes, each with one thread.

A pool of the standard library breaks as a whole when one of its processes is killed. Here each has a pipe of its own, whose
end says that the process died, and over which task.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import attrs

from licframe.batch.engines import Engine, Lost, R, T, tried_twice
from licframe.errors import LicframeError
from licframe.runtime.machine import cores, free_memory
from licframe.runtime.malloc import keep_freed

_STILLBORN = 3
"""So many workers in a row that die before they come to work have a reason that all would have."""
_READY, _RETURNED, _RAISED = range(3)


@attrs.define(eq=False)
class _Worker:
    """A process, the pipe to it, and the number of the task that it has; None where it has none."""

    process: SpawnProcess
    pipe: Connection
    number: int | None = None
    ready: bool = False

    def give(self, number: int, task: Any) -> None:
        self.number = number
        with suppress(OSError):  # it died: the pipe will say so
            self.pipe.send(task)

    def end(self) -> None:
        if self.number is not None:
            self.process.kill()  # it holds nothing that could be lost
        self.pipe.close()  # an idle one ends by itself
        self.process.join()


class Local(Engine):
    """Processes of this machine, by default as many as it has cores and memory for."""

    def __init__(self, workers: int | None, memory: int) -> None:
        self.workers = workers or max(1, min(cores(), free_memory() // memory))

    def run(
        self, work: Callable[[T], R], tasks: Sequence[T]
    ) -> Generator[tuple[int, R | Lost], None, None]:
        """See ``Engine.run``."""
        return tried_twice(
            lambda numbers, count: _Pool(work, tasks).results(numbers, count), len(tasks), self.workers
        )


class _Pool:
    """Workers, and the tasks that they share."""

    def __init__(self, work: Callable[[T], R], tasks: Sequence[T]) -> None:
        self.work, self.tasks = work, tasks
        self.workers: dict[Connection, _Worker] = {}
        self.waiting: deque[int] = deque()
        self.stillborn = 0

    def results(self, numbers: Sequence[int], count: int) -> Generator[tuple[int, Any], None, None]:
        """Yield the number of each task and its result, or ``Lost``."""
        self.waiting.extend(numbers)
        try:
            while True:
                while self.waiting and len(self.workers) < count:
                    self._start()
                busy = [pipe for pipe, worker in self.workers.items() if worker.number is not None]
                if not busy:
                    return
                for pipe in wait(busy):
                    worker = self.workers[pipe]  # type: ignore[index]
                    number = worker.number
                    result = self._heard(worker)
                    if result is not None:
                        yield number, result[0]  # type: ignore[misc]
        finally:
            for worker in self.workers.values():
                worker.end()

    def _start(self) -> None:
        ours, theirs = get_context("spawn").Pipe()
        process = get_context("spawn").Process(
            target=_serve, args=(theirs, pickle.dumps(self.work), str(Path.cwd())), daemon=True
        )
        with _interrupts_wait():
            process.start()
        theirs.close()  # so that the pipe ends with the worker
        self.workers[ours] = worker = _Worker(process, ours)
        self._feed(worker)

    def _feed(self, worker: _Worker) -> None:
        worker.number = None
        if self.waiting:
            number = self.waiting.popleft()
            worker.give(number, self.tasks[number])

    def _heard(self, worker: _Worker) -> tuple[Any] | None:
        """Return the result that a worker has, in a tuple; the worker has its next task then."""
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            return self._buried(worker)
        if kind == _READY:
            worker.ready, self.stillborn = True, 0
            return None
        if kind == _RAISED:
            raise value
        self._feed(worker)
        return (value,)

    def _buried(self, worker: _Worker) -> tuple[Lost]:
        del self.workers[worker.pipe]
        worker.end()
        self.stillborn += not worker.ready
        if self.stillborn >= _STILLBORN:
            raise LicframeError(
                f"workers end before they begin (exit code {worker.process.exitcode}); try fewer with --workers 1"
            )
        return (Lost(),)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold an interrupt back; a process that is started meanwhile never gets one, for ending it is up to us."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # starting it would let them through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, pickled: bytes, folder: str) -> None:
    """Do tasks as they come, in a process of its own, until the pipe ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir(folder)
    # torch reads them when it is imported, and not before there is work that needs it
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    keep_freed()
    work = pickle.loads(pickled)  # noqa: S301
    with suppress(EOFError, OSError):
        pipe.send((_READY, None))
        while True:
            task = pipe.recv()
            try:
                answer = _RETURNED, work(task)
            except Exception as error:  # noqa: BLE001 - the parent decides
                answer = _RAISED, error
            pipe.send(answer)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
