"""Where the work on many files is done: one interface, and the engines that have it.

An engine knows nothing of pictures. It takes something to call and what to call it with, and hands back what the calls
return, as they end. A new one is a file beside this one, and a line in ``_HOMES``.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

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
    """

    workers: int

    @abstractmethod
    def __init__(self, workers: int | None, memory: int) -> None: ...

    @abstractmethod
    def run(
        self, work: Callable[[T], R], tasks: Sequence[T]
    ) -> Generator[tuple[int, R | Lost], None, None]:
        """Yield the number of each task and what ``work`` returns for it, in the order in which they end.

        Every worker has a copy of ``work`` of its own, and keeps it: what it loads, it loads once. A worker that dies is
        replaced; its task is tried once more. What ``work`` raises ends the run, and so does closing the generator: no
        worker is left then.
        """


_HOMES = {"local": "licframe.batch.local:Local"}
ENGINES = tuple(_HOMES)


def engine_named(name: str, workers: int | None, memory: int) -> Engine:
    """Return an engine (see ``Engine``).

    Raises:
        UsageError: there is none of that name, or no worker is asked for.
    """
    if name not in _HOMES:
        raise UsageError(f'no engine "{name}"; {suggestion(name, ENGINES)}')
    if workers is not None and workers < 1:
        raise UsageError(f"workers is {workers}; use 1 or more")
    module, _, kind = _HOMES[name].partition(":")
    engine: Engine = getattr(importlib.import_module(module), kind)(workers, memory)
    return engine
