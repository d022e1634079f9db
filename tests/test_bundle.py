"""A run in a folder, for a machine without network; and how fast a run would be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from licframe.codec.loading import load_latent
from licframe.errors import LicframeError
from licframe.evaluation.complexity import complexity
from licframe.profile.profile import latent_profile
from licframe.profile.weights import read_metadata
from licframe.training import Hardware, Schedule, bundle
from licframe.training.bundle import make_bundle
from licframe.training.throughput import throughput

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for k in range(4):
        Image.fromarray(rng.integers(0, 256, (150, 150, 3)).astype(np.uint8)).save(folder / f"{k}.png")
    return folder


def test_a_bundle_trains_by_itself(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its own copy of the code, found through its own entry points; parts are taken in one after the other."""
    monkeypatch.setattr(bundle, "_fetch_wheels", lambda folder, _: folder.mkdir())
    monkeypatch.setattr(bundle, "PART", 2 * 2**20)
    profile = latent_profile("tiny")
    place = tmp_path / "leg"
    schedule = Schedule(minutes=0.02, batch=2, decay=0.5)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    arguments = (profile, [pictures], place, profile.weights_path, schedule)
    told = list(make_bundle(*arguments, more=["--seed 3"], pictures=200_000, python=version))
    assert len(told) == 4
    assert "--batch 2 --rate 1 --decay 0.5 --seed 3 --start" in told[3]
    assert "2 pictures" in told[1]
    sizes = [sum(f.stat().st_size for f in part.rglob("*") if f.is_file()) for part in place.glob("part-*")]
    assert max(sizes) <= bundle.PART
    assert not [p for p in place.rglob("*.safetensors") if p.name != "start.safetensors"]
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }

    def run(*words: object) -> str:
        done = subprocess.run(
            ["bash", place / "run.sh", *map(str, words)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    early = subprocess.run(
        ["bash", place / "run.sh", "train", "x"], capture_output=True, text=True, check=False
    )
    assert early.returncode == 2
    assert "run.sh gather" in early.stderr
    later = tmp_path / "later"
    (place / "part-01").rename(later)
    assert run("gather").split() == ["part-00"]
    later.rename(place / "part-01")
    assert run("gather").split() == ["part-00", "part-01"]
    work = place / "work"
    shutil.copytree(work / "part-00" / "site", work / "site")  # as after pip, which has no wheels here
    (work / "site" / ".installed").touch()
    own = work / "site" / "licframe" / "__init__.py"
    own.write_text(f"{own.read_text()}\nprint('its own copy')\n")
    said = run("train", tmp_path / "out")

    assert "its own copy" in said
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {
        *("weights.safetensors", "undecayed.safetensors", "log.jsonl", "summary.md"),
        *("profile.toml", "environment.json"),
    }
    assert read_metadata(tmp_path / "out" / "weights.safetensors")["training"]["seed"] == 3
    start = read_metadata(profile.weights_path)["fingerprint"]
    assert read_metadata(tmp_path / "out" / "weights.safetensors")["training"]["start"] == start
    assert load_latent(tmp_path / "out" / "profile.toml").compress(np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(LicframeError, match="not empty"):
        list(make_bundle(profile, [pictures], place, None, schedule))
    checkerboard = latent_profile("checkerboard")
    with pytest.raises(LicframeError, match="part of other weights"):
        list(make_bundle(checkerboard, [], tmp_path / "no", checkerboard.weights_path, schedule))
    assert not (tmp_path / "no").exists()


def test_throughput_says_what_a_run_would_see(pictures: Path) -> None:
    schedule = Schedule(minutes=10, batch=2, patch=64)
    (found,) = throughput(
        "tiny", [pictures], schedule=schedule, hardware=Hardware(torch.device("cpu")), steps=3
    )

    assert found.how == "eager"
    assert found.patches_in(10) == round(found.patches_per_s * 600)
    assert 0 < found.waiting < 1
    # Two operations a multiplication, three times: forward, and for the gradients of inputs and weights.
    tiny = load_latent("tiny")
    cost = complexity(tiny.model, tiny.picture_filter)
    least = 6e3 * 64 * 64 * max(cost["kmac_encode"], cost["kmac_decode"])
    assert least < found.tflops * 1e12 / found.patches_per_s < 3 * least
    assert 0 < found.share < 2
