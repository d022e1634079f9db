"""Weights files: what is loaded is what was saved, or an error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from licframe.codec import Codec
from licframe.errors import NotExactError, WeightsMismatchError
from licframe.loading import build, load
from licframe.profile import load_profile
from licframe.weights import read_metadata


@pytest.fixture
def saved(untrained: Codec, tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    untrained.save(path, {"patches": 7})
    return path


def test_round_trip_is_stable(saved: Path, tmp_path: Path) -> None:
    """Loading and saving again changes nothing: shipped weights can be trained on and compared."""
    codec = load("tiny", [f"weights.file={saved}"])
    tables = codec.units.to_context.clone()
    again = tmp_path / "again.safetensors"
    assert codec.save(again, {}) == read_metadata(saved)["fingerprint"] == codec.fingerprint.hex()
    assert torch.equal(tables, codec.units.to_context)


def test_record_is_kept(saved: Path) -> None:
    assert read_metadata(saved)["training"] == {"patches": 7}


def change(path: Path, edit) -> Path:
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    edit(tensors)
    save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize(
    "edit",
    [
        lambda t: t["scheduler.base"].add_(1),
        lambda t: t["units.to_context"].add_(1),
        lambda t: t.pop("scheduler.base"),
        lambda t: t.update(extra=torch.zeros(2)),
    ],
    ids=["changed", "table", "missing", "extra"],
)
def test_changed_weights_are_refused(saved: Path, edit) -> None:
    change(saved, edit)

    with pytest.raises(WeightsMismatchError, match="fingerprint"):
        load("tiny", [f"weights.file={saved}"])


def test_nan_is_refused(untrained: Codec, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    torch.nn.init.constant_(untrained.scheduler.base, float("nan"))
    untrained.save(path, {})
    with pytest.raises(WeightsMismatchError, match="not finite"):
        load("tiny", [f"weights.file={path}"])
    torch.nn.init.constant_(untrained.gains.log2_gain, float("nan"))
    with pytest.raises(NotExactError, match="diverged"):
        untrained.save(path, {})


@pytest.mark.parametrize("data", [b"", b"text that is no weights", b"\xff" * 100, b"\x80\x04pickle"])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)

    with pytest.raises(WeightsMismatchError, match="not a licframe weights file"):
        load("tiny", [f"weights.file={path}"])


def test_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])

    with pytest.raises(WeightsMismatchError, match="damaged"):
        load("tiny", [f"weights.file={saved}"])


def test_shipped_weights_fit_and_are_small() -> None:
    for name in ("tiny", "balanced"):
        path = load_profile(name).weights_path
        assert path is not None
        assert path.stat().st_size <= 16 * 2**20
        assert load(name).fingerprint.hex() == read_metadata(path)["fingerprint"]


def test_untrained_codec_can_be_built_for_every_profile() -> None:
    for name in ("tiny", "balanced", "max_quality"):
        assert isinstance(build(load_profile(name)), Codec)
