"""The engine ``ray``: workers on the machines of a Ray cluster, or on this one; each is an actor.

An actor keeps what it loads, and its death is told by the call that it does not answer, whether its process or its machine
died. Ray restarts none and repeats no call: which task was lost, and how often, is for the driver to know. Ray Data, which
would share a pipeline of blocks among such actors, repeats a task without an end or fails as a whole, and brings pyarrow and
pandas.

A worker has one task at a time, and the next is taken when it has answered. So no more inputs and results are in Ray's
memory than there are workers.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

import licframe
from licframe.batch.engines import Engine, Lost, R, T, tried_twice
from licframe.errors import LicframeError, UsageError
from licframe.runtime.extras import require
from licframe.runtime.machine import cores, free_memory
from licframe.runtime.malloc import keep_freed

_STILLBORN = 3
"""So many workers in a row, and a whole crew, that die before they come to work have a reason that all would have."""
_PATIENCE = 600.0
"""Seconds until a cluster must have room for a worker; some start machines when they are asked for."""
_PARTING = 10.0
"""Seconds that workers get to be gone."""
_READY, _RETURNED, _RAISED = range(3)

# Ray reads these when it is imported: no statistics are sent, and what it has to say of workers that die is said by us
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
}
# One thread each, as in the engine ``local``; and GPUs stay visible though Ray is asked for none
_WORKER = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


class Actors(Engine):
    """Actors of Ray, by default as many as there are cores and memory for.

    Args:
        address: of the cluster, host:port, or "auto" for the one that this machine belongs to; None starts one of this
            machine alone, which ends with the run. A program that uses Ray already goes on with what it has.
    """

    def __init__(self, workers: int | None, memory: int, address: str | None = None) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        self.ray = require("ray", "the engine ray")
        self.asked, self.memory, self.address = workers, memory, address
        self.elsewhere = address is not None or self.ray.is_initialized()
        self.workers = workers or max(1, min(cores(), free_memory() // memory))

    def run(
        self, work: Callable[[T], R], tasks: Sequence[T]
    ) -> Generator[tuple[int, R | Lost], None, None]:
        """See ``Engine.run``."""
        with self._connected():
            needs: dict[str, float] = {"num_cpus": 1}
            machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
            if self.elsewhere:  # others want memory there, too
                most = max(machine.get("memory", 0) for machine in machines)
                needs["memory"] = min(self.memory, most)
                self.workers = self.asked or max(1, sum(map(self._room, machines)))
            actor = self.ray.remote(
                **needs,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": _WORKER},
            )(_Actor)
            yield from tried_twice(
                lambda numbers, count: _Pool(self.ray, actor, work, tasks).results(numbers, count),
                len(tasks),
                self.workers,
                alone=min(self.workers, len(machines)),  # for Ray spreads them
            )

    def _room(self, machine: dict[str, float]) -> int:
        """Return how many workers a machine has room for."""
        return int(min(machine.get("CPU", 0), machine.get("memory", 0) // self.memory))

    @contextmanager
    def _connected(self) -> Iterator[None]:
        if self.ray.is_initialized():
            yield
            return
        own = {"num_cpus": self.workers, "include_dashboard": False}
        if self.address is not None:
            _check(self.address)
            own = {}
        try:
            self.ray.init(self.address or "local", **own, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # where it is too slow to start, it raises just that
            what = (
                f"the Ray cluster {self.address} cannot be used"
                if self.address
                else "Ray cannot be started"
            )
            raise LicframeError(f"{what}: {error}") from error
        try:
            yield
        finally:
            self.ray.shutdown()


def _check(address: str) -> None:
    """Say what is wrong with an address; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal():
        raise UsageError(f'the address of the Ray cluster is "{address}"; use auto, or host:port')
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise LicframeError(
            f"no Ray cluster answers at {address} ({error}); start one there with ray start --head"
        ) from error


@attrs.define(eq=False)
class _Worker:
    """An actor, and the number of the task that it has; None while it begins."""

    actor: Any
    number: int | None = None


class _Pool:
    """Workers, and the tasks that they share; a worker always has a call to answer, and without one it is ended."""

    def __init__(self, ray: Any, actor: Any, work: Callable[[T], R], tasks: Sequence[T]) -> None:
        self.ray, self.actor, self.tasks = ray, actor, tasks
        self.pickled = pickle.dumps(work)
        self.calls: dict[Any, _Worker] = {}
        self.waiting: deque[int] = deque()
        self.stillborn = 0

    def results(self, numbers: Sequence[int], count: int) -> Generator[tuple[int, Any], None, None]:
        """Yield the number of each task and its result, or ``Lost``."""
        self.waiting.extend(numbers)
        left = len(numbers)
        try:
            while left:
                while len(self.calls) < min(count, left):
                    self._start()
                for call in self._answered():
                    number = self.calls[call].number
                    result = self._heard(call, count)
                    if number is not None:
                        left -= 1
                        yield number, result
        finally:
            for worker in self.calls.values():
                self.ray.kill(worker.actor)
            self.ray.wait(list(self.calls), num_returns=len(self.calls), timeout=_PARTING)

    def _start(self) -> None:
        worker = _Worker(self.actor.remote())
        call = worker.actor.begin.remote(self.pickled, str(Path.cwd()), licframe.__version__)
        self.calls[call] = worker

    def _answered(self) -> list[Any]:
        """Wait for calls that have an answer, or whose worker is dead."""
        answered, _ = self.ray.wait(list(self.calls), timeout=_PATIENCE)
        if not answered and all(worker.number is None for worker in self.calls.values()):
            raise LicframeError(
                f"no worker could begin in {_PATIENCE / 60:.0f} minutes: the Ray cluster has no core, or not enough memory, "
                "that is free"
            )
        return list(answered)

    def _heard(self, call: Any, count: int) -> Any:
        """Return the answer to a call; its worker has its next task then."""
        worker = self.calls.pop(call)
        try:
            kind, value = self.ray.get(call)
        except self.ray.exceptions.RayTaskError as error:
            raise LicframeError(f"a worker fails: {error.cause}") from error
        except self.ray.exceptions.RayError as error:
            self._bury(worker, error, count)
            return Lost()
        if kind == _RAISED:
            raise value
        if kind == _READY:
            self.stillborn = 0
        self._feed(worker)
        return value

    def _feed(self, worker: _Worker) -> None:
        if not self.waiting:
            self.ray.kill(worker.actor)
            return
        worker.number = self.waiting.popleft()
        self.calls[worker.actor.call.remote(self.tasks[worker.number])] = worker

    def _bury(self, worker: _Worker, error: Exception, count: int) -> None:
        with suppress(self.ray.exceptions.RayError):
            self.ray.kill(worker.actor)  # it may be that it only cannot be reached
        if worker.number is not None:
            return
        self.stillborn += 1
        if self.stillborn >= _STILLBORN + count:
            raise LicframeError(
                "workers end before they begin; is licframe installed, and is there memory enough, on all machines of the "
                f"Ray cluster? {str(error).splitlines()[0]}"
            ) from error


class _Actor:
    """What Ray runs in a process of its own."""

    work: Callable[[Any], Any]

    def begin(self, pickled: bytes, folder: str, version: str) -> tuple[int, Any]:
        """Get ready for work."""
        if version != licframe.__version__:
            return _RAISED, UsageError(
                f"{socket.gethostname()} has licframe {licframe.__version__}, not {version}; all machines need the same"
            )
        with suppress(OSError):  # another machine need not have it
            os.chdir(folder)
        keep_freed()
        self.work = pickle.loads(pickled)  # noqa: S301
        return _READY, None

    def call(self, task: Any) -> tuple[int, Any]:
        """Do a task."""
        try:
            return _RETURNED, self.work(task)
        except Exception as error:  # noqa: BLE001 - the driver decides
            return _RAISED, error
