"""Packages of single features: what is left out without them, and what says so."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from licframe.errors import MissingPackageError
from licframe.evaluation import datasets, metrics, plots, rd, results
from licframe.picture.images import Picture
from licframe.runtime import extras

ROOT = Path(__file__).parent.parent
ABSENT = "import sys\nfor name in {names!r}: sys.modules[name] = None\n"
"""A module that is None in ``sys.modules`` cannot be imported."""


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes modules look as if they were not installed."""
    find = importlib.util.find_spec

    def hide(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find(name))

    return hide


def test_every_module_is_brought_by_its_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for module, extra in extras.EXTRAS.items():
        package = re.compile(rf"{module.replace('_', '-')}\b")
        assert any(map(package.match, project["optional-dependencies"][extra])), module
        assert not any(map(package.match, project["dependencies"])), module


@pytest.mark.parametrize("module", sorted(extras.EXTRAS))
def test_an_error_names_package_and_command(module: str, absent) -> None:
    absent(module)
    with pytest.raises(MissingPackageError) as caught:
        extras.require(module, "this test")

    assert not extras.installed(module)
    assert str(caught.value) == (
        f"this test needs the package {module.replace('_', '-')}, which is not installed; "
        f'pip install "licframe[{extras.EXTRAS[module]}]"'
    )


def test_a_package_whose_library_is_missing_says_which(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "pyvips.py").write_text("raise OSError('libvips.so.42: cannot open')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pyvips", raising=False)

    with pytest.raises(MissingPackageError, match=r"cannot be loaded here \(libvips.so.42: cannot open\)"):
        extras.require("pyvips", "this test")


def test_sixteen_bits_need_pyvips_and_ppm_does_not(tmp_path: Path, absent) -> None:
    picture = Picture(np.full((4, 5, 3), 40000, np.uint16))
    absent("pyvips")

    assert picture.encode(".ppm")
    with pytest.raises(MissingPackageError, match=r"licframe\[16bit\]"):
        picture.encode(".png")


def test_plots_need_matplotlib(absent) -> None:
    absent("matplotlib")
    with pytest.raises(MissingPackageError, match=r"licframe\[plot\]"):
        plots.trade_off([("a", 1.0, 2.0)], "seconds")


def test_a_size_without_ms_ssim_has_a_reason(absent) -> None:
    pixels = np.zeros((176, 176, 3), np.uint8)

    assert metrics.why_not("ms_ssim", 176, 176) == ""
    assert metrics.why_not("ms_ssim", 160, 176) == "a side is below 161 pixels"
    absent("pytorch_msssim")
    assert "licframe[ms-ssim]" in metrics.why_not("ms_ssim", 176, 176)
    assert metrics.measured(pixels, pixels)["ms_ssim"] is None


def test_what_was_measured_without_ms_ssim_is_measured_again(tmp_path: Path, absent, monkeypatch) -> None:
    """SSIMULACRA2 likewise, which takes pictures that are smaller."""
    rng = np.random.default_rng(0)
    Picture(rng.integers(0, 256, (176, 176, 3), np.uint8)).save(tmp_path / "a.png")
    Picture(rng.integers(0, 256, (6, 64, 3), np.uint8)).save(tmp_path / "b.png")
    dataset, path = datasets.find(str(tmp_path), tmp_path), tmp_path / "jpeg.json"
    with monkeypatch.context() as patch:
        patch.setattr(extras, "installed", lambda module: False)
        with pytest.warns(UserWarning, match=" is left out"):
            before = rd.measure("jpeg", dataset, path, qualities=(50,))
    asked = []
    run_job = rd.run_job
    monkeypatch.setattr(rd, "run_job", lambda job: asked.append(job.path.name) or run_job(job))
    after = rd.measure("jpeg", dataset, path, qualities=(50,))

    assert [p.ms_ssim for p in before.points] == [p.ssimulacra2 for p in before.points] == [None, None]
    assert asked == ["a.png"]
    assert [p.image for p in after.points] == ["a.png", "b.png"]
    assert 0.5 < after.points[0].ms_ssim < 1
    assert -100 < after.points[0].ssimulacra2 < 100
    assert after.points[1].ms_ssim is after.points[1].ssimulacra2 is None  # too small
    assert len(results.load(path).points) == 2


@pytest.mark.slow
def test_run_does_without_every_extra(tmp_path: Path) -> None:
    """And says what it has not measured."""
    code = ABSENT.format(names=list(extras.EXTRAS)) + (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda n, *r: None if n in sys.modules and sys.modules[n] is None else find(n, *r)\n"
        "import licframe.cli; licframe.cli.main()"
    )

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *args]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
        )

    shown = run("run", "tiny")
    assert shown.returncode == 0, shown.stderr
    assert 'not measured: needs the package pytorch-msssim; pip install "licframe[ms-ssim]"' in shown.stdout
    missing = run("train", "ms_ssim", "--data", str(tmp_path), "--folder", str(tmp_path / "run"))
    assert missing.returncode == 1
    assert missing.stderr == (
        "licframe: training for MS-SSIM needs the package pytorch-msssim, which is not installed; "
        'pip install "licframe[ms-ssim]"\n'
    )
    assert not (tmp_path / "run").exists()
