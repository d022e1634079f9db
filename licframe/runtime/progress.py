"""A bar on a terminal, with the time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class Bar:
    """A bar that is shown; see ``progress_bar``."""

    def __init__(self, shown: Any, task: Any) -> None:
        self._shown, self._task = shown, task

    def update(self, done: float, total: float = 1.0, text: str = "") -> None:
        """Show how much is done, and a text behind the bar."""
        self._shown.update(self._task, completed=done, total=total, text=text)

    def remark(self, text: str) -> None:
        """Print a line above the bar."""
        self._shown.console.print(text, markup=False, highlight=False)


@contextmanager
def progress_bar(name: str, stream: TextIO | None = None) -> Iterator[Bar | None]:
    """Show a bar while the block runs, by default on standard error; give None where that is no terminal."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[text]}", markup=False))
    with Progress(*columns, console=Console(file=stream)) as shown:
        yield Bar(shown, shown.add_task(name, total=None, text=""))
