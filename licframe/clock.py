"""Seconds spent in named stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Seconds spent in named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str, inside: str | None = None) -> Iterator[None]:
        """Time a stage; ``inside`` names the running stage that does not count it."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - begin
            self.seconds[stage] = self.seconds.get(stage, 0.0) + took
            if inside is not None:
                self.seconds[inside] = self.seconds.get(inside, 0.0) - took
