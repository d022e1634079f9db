"""Seconds spent in named stages."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from licframe.errors import LimitError


class Clock:
    """Seconds spent in named stages; a stage does not begin after ``limit`` seconds in all."""

    def __init__(self, limit: float = math.inf) -> None:
        self.seconds: dict[str, float] = {}
        self._limit = limit
        self._start = time.perf_counter()

    def shares(self, count: int) -> dict[str, float]:
        """Return the seconds of each stage that one of ``count`` things took, which went through it together."""
        return {stage: seconds / count for stage, seconds in self.seconds.items()}

    @contextmanager
    def __call__(self, stage: str, inside: str | None = None) -> Iterator[None]:
        """Time a stage; ``inside`` names the running stage that does not count it."""
        begin = time.perf_counter()
        if begin - self._start > self._limit:
            raise LimitError(
                f"it took more than {self._limit:g} seconds; if you trust the file, raise the limit with "
                f"--limit seconds={10 * self._limit:g}"
            )
        try:
            yield
        finally:
            took = time.perf_counter() - begin
            self.seconds[stage] = self.seconds.get(stage, 0.0) + took
            if inside is not None:
                self.seconds[inside] = self.seconds.get(inside, 0.0) - took
