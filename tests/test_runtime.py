"""Where a program runs: the record of the environment, and the bar of progress."""

from __future__ import annotations

import io
import json

import pytest
import torch

from licframe.runtime import environment as module
from licframe.runtime.environment import environment
from licframe.runtime.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_environment_says_what_a_measurement_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment()

    assert json.loads(json.dumps(found)) == found
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["processor"]

    def no_git(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(module.subprocess, "run", no_git)
    assert environment() == {**found, "git": None}


def test_a_bar_is_for_terminals_only() -> None:
    with progress_bar("rounds", io.StringIO()) as bar:
        assert bar is None
    stream = Terminal()
    with progress_bar("rounds", stream) as bar:
        bar.update(1, 4, "loss [1]")
        bar.remark("half [way]")
        bar.update(4, 4, "done [2]")
    said = stream.getvalue()

    assert "half [way]" in said
    assert "rounds" in said
    assert "100%" in said
    assert "done [2]" in said
