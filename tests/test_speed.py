"""Timing: interleaved rounds, ratios, sizes."""

from __future__ import annotations

import json
import platform

import pytest
from typer.testing import CliRunner

from licframe.cli.app import app
from licframe.errors import UsageError
from licframe.evaluation import speed
from licframe.runtime.malloc import keep_freed
from licframe.testing.exactness import sample_images

pytestmark = pytest.mark.slow


def test_timings_are_complete() -> None:
    pixels = sample_images(1, 100)[0]
    (timing,) = speed.measure(["tiny"], pixels, [(97, 61)], base="tiny", repeats=1)

    assert (timing.width, timing.height) == (97, 61)
    assert timing.encode_ratio == timing.decode_ratio == 1
    assert {"analysis", "context", "coding", "check"} <= set(timing.encode_stages)
    assert {"file", "context", "coding", "synthesis", "filter"} == set(timing.decode_stages)
    assert timing.decode == pytest.approx(sum(timing.decode_stages.values()))
    assert 0 < timing.matrix_share < 1
    assert timing.peak_mib is None or timing.peak_mib > 0
    assert timing.complexity["serial_passes"] > 1


def test_pictures_are_cropped_and_resampled() -> None:
    picture = speed.resized(sample_images(1, 100)[0], 200, 50)

    assert picture.size == (200, 50)


def test_bad_questions() -> None:
    pixels = sample_images(1, 64)[0]
    with pytest.raises(UsageError, match="base balanced is not among"):
        speed.measure(["tiny"], pixels, [(64, 64)], base="balanced")
    with pytest.raises(UsageError, match="repeats is 0"):
        speed.measure(["tiny"], pixels, [(64, 64)], base="tiny", repeats=0)
    result = CliRunner().invoke(app, ["bench", "speed", "tiny", "--sizes", "64"])
    assert isinstance(result.exception, UsageError)


def test_command_writes_a_record(tmp_path) -> None:
    out = tmp_path / "speed.json"
    arguments = ["bench", "speed", "tiny", "--sizes", "64x48", "--repeats", "1", "-o", str(out)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    record = json.loads(out.read_text())

    assert "64x48" in done.stdout
    assert record["schema"] == "licframe-speed-1"
    assert record["timings"][0]["profile"] == "tiny"


def test_keeping_memory_is_asked_for_where_there_is_glibc() -> None:
    assert keep_freed() == (platform.libc_ver()[0] == "glibc")
