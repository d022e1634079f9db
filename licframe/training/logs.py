"""A run's log in its folder: lines of JSON, and TensorBoard's where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from licframe.runtime.atomic import to_json
from licframe.runtime.extras import installed
from licframe.training.loop import LogLine


class JsonLog:
    """Append each line of a run to ``log.jsonl``, and each remark."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.jsonl"

    def line(self, line: LogLine) -> None:
        self._append(attrs.asdict(line))

    def remark(self, text: str) -> None:
        self._append({"remark": text})

    def _append(self, record: dict[str, Any]) -> None:
        with self._path.open("a") as log:
            log.write(to_json(record) + "\n")


class TensorBoardLog:
    """Write loss, rate and speed of a run for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(folder / "tensorboard"))

    def line(self, line: LogLine) -> None:
        for name in ("loss", "bpp", "held_out", "patches_per_s"):
            value = getattr(line, name)
            if value is not None:
                self._board.add_scalar(name, value, line.patches)
        self._board.flush()

    def remark(self, text: str) -> None:
        self._board.add_text("remark", text)


def logs_in(folder: Path) -> list[JsonLog | TensorBoardLog]:
    """Return what writes a run's log into a folder."""
    if not installed("tensorboard"):
        return [JsonLog(folder)]
    return [JsonLog(folder), TensorBoardLog(folder)]
