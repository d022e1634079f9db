"""Files decode the same in every setting of threads, instruction sets and libraries."""

from __future__ import annotations

from pathlib import Path

import pytest

from licframe.bitstream import container
from licframe.testing import exactness

pytestmark = pytest.mark.slow


def test_every_pair_of_settings_agrees(tmp_path: Path) -> None:
    images = exactness.sample_images(2, 150)
    # compiling takes a C++ compiler and a minute; docs/tools/exactness.py does it
    tried = {
        name: setting
        for name, setting in exactness.SETTINGS.items()
        if not setting.compiled and setting.available
    }
    report = exactness.matrix(["tiny"], images, tried, tmp_path)["tiny"]
    detailed = [container.read(path.read_bytes()).detail is not None for path in tmp_path.glob("0/*.lic")]

    assert sum(detailed) == len(detailed) / 2 == 2 * len(tried)
    assert report.pairs == 2 * 2 * len(tried) ** 2
    assert not report.failures


def test_a_difference_would_be_seen(tmp_path: Path) -> None:
    """The matrix can fail: a file that was not encoded by this codec is reported."""
    settings = {"one-thread": exactness.SETTINGS["one-thread"]}
    exactness.matrix(["tiny"], exactness.sample_images(1, 64), settings, tmp_path, qualities=[80])
    (file,) = tmp_path.glob("0/*.lic")
    latent = file.with_suffix(".latent")
    latent.write_text("another" + latent.read_text()[7:])
    exactness._worker("decode", ["tiny"], "one-thread", settings["one-thread"], tmp_path, [80])

    assert "other symbols" in (tmp_path / "0" / "decoded-one-thread.json").read_text()


@pytest.mark.parametrize("name", exactness.SMALL)
def test_small_settings_exist(name: str) -> None:
    assert name in exactness.SETTINGS
