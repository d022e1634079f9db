"""Where the work on many files is done: one interface, and the engines that have it.

An engine knows nothing of pictures. It takes something to call and what to call it with, and hands back what the calls
return, as they end. A new one is a file beside this one, and a line in ``_HOMES``.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, TypeVar

import attrs

from licframe.errors import UsageError, suggestion

T = TypeVar("T")
R = TypeVar("R")


@attrs.frozen
class Lost:
    """What stands for the result of a task that has none: its worker died, and died again over it alone."""


class Engine(ABC):
    """Workers that share tasks; built as ``Class(workers, memory)``.

    Args:
        workers: how many; None for as many as there is room for.
        memory: bytes that a worker is estimated to need.

    Attributes:
        workers: how many; known for sure once they run.
        elsewhere: they may be on machines that do not have the files of this one.
    """

    workers: int
    elsewhere: bool = False

    @abstractmethod
    def __init__(self, workers: int | None, memory: int) -> None: ...

    @abstractmethod
    def run(
        self, work: Callable[[T], R], tasks: Sequence[T]
    ) -> Generator[tuple[int, R | Lost], None, None]:
        """Yield the number of each task and what ``work`` returns for it, in the order in which they end.

        A task is taken from ``tasks`` when a worker is to have it, and again if it is tried again. Every worker has a copy of ``work`` of its own, and keeps it: what it loads, it loads once. A worker that dies is
        replaced; its task is tried once more. What ``work`` raises ends the run, and so does closing the generator: no
        worker is left then.
        """


Results = Generator[tuple[int, R | Lost], None, None]
"""Numbers of tasks, and what came of each."""


def tried_twice(
    results: Callable[[Sequence[int], int], Results[R]], tasks: int, workers: int, alone: int = 1
) -> Results[R]:
    """Yield what comes of tasks; those that are lost are tried again.

    What killed a worker may be that all of them together had too little memory. So its task is tried again when the others
    are done, by one worker alone.

    Args:
        results: called with numbers of tasks, and how many workers are to share them. alone: workers that are so.
    """
    lost = yield from _found(results(range(tasks), workers))
    lost = yield from _found(results(sorted(lost), alone))
    for number in lost:
        yield number, Lost()


def _found(results: Results[R]) -> Generator[tuple[int, R | Lost], None, list[int]]:
    """Pass on results but for those that are lost; return the numbers of these."""
    lost = []
    with closing(results):
        for number, result in results:
            if isinstance(result, Lost):
                lost.append(number)
            else:
                yield number, result
    return lost


_HOMES = {
    "local": "licframe.batch.local:Local",
    "ray": "licframe.batch.actors:Actors",
}
ENGINES = tuple(_HOMES)


def engine_named(name: str, workers: int | None, memory: int, **own: Any) -> Engine:
    """Return an engine (see ``Engine``).

    Args:
        own: what this engine alone takes.

    Raises:
        UsageError: there is none of that name, or no worker is asked for.
    """
    if name not in _HOMES:
        raise UsageError(f'no engine "{name}"; {suggestion(name, ENGINES)}')
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; use 1 or more")
    module, _, kind = _HOMES[name].partition(":")
    engine: Engine = getattr(importlib.import_module(module), kind)(workers, memory, **own)
    return engine
