"""Ablation and report; the page is tried in a real browser."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import attrs
import pytest
from PIL import Image

from licframe.codec.target import Target
from licframe.errors import LicframeError, ResultsError, UsageError
from licframe.evaluation import ablation, datasets, rd, report
from licframe.evaluation.codecs import codec_named
from licframe.evaluation.comparison import compare, equal_bytes
from licframe.picture.images import from_array
from licframe.testing.exactness import sample_images

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("pictures")
    Image.fromarray(sample_images(1, 200)[0]).save(place / "a.png")
    return place


@pytest.fixture(scope="module")
def page(folder: Path, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("report")
    dataset = datasets.find(str(folder), place)
    found = [
        rd.measure("tiny", dataset, place / "tiny.json", qualities=(0, 20, 35, 50)),
        rd.measure("jpeg", dataset, place / "jpeg.json", qualities=(1, 4, 8, 20)),
    ]
    path = place / "report.html"
    shown = compare(folder / "a.png", "tiny", "jpeg", 30)
    path.write_text(report.render(found, [found[1]], [shown], "A & B"))
    return path


def test_page_is_self_contained(page: Path) -> None:
    text = page.read_text()

    assert "<title>A &amp; B</title>" in text
    assert text.count("data:image/webp") == 5
    assert text.count("<svg") == 5  # three curves, two trade-offs
    addresses = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert all(address.startswith(("data:", "#")) for address in addresses)


def test_no_heading_without_pictures(folder: Path, tmp_path: Path, page: Path) -> None:
    found = rd.measure(
        "jpeg", datasets.find(str(folder), tmp_path), tmp_path / "a.json", qualities=(1, 4, 8, 20)
    )
    headings = [
        re.findall("<h2>(.*?)</h2>", text) for text in (page.read_text(), report.render([found], [found]))
    ]
    assert headings[0] == [
        "Rate and distortion",
        "Pictures at equal bytes",
        "BD-rate",
        "Every image",
        "What was measured",
    ]
    assert headings[1] == [h for h in headings[0] if h != "Pictures at equal bytes"]


def test_equal_bytes_means_not_more(folder: Path) -> None:
    picture = from_array(sample_images(1, 160)[0])
    for name in ("jpeg", "jpeg2000"):
        codec = codec_named(name).codec
        size = len(codec.encode(picture, Target(quality=codec.qualities[4])).data) + 10
        data = equal_bytes(codec, picture, size)

        assert 0.8 * size < len(data) <= size


def test_a_report_does_not_hide_a_missing_package(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dashes for every BD-rate would say that the curves do not overlap."""
    monkeypatch.setitem(sys.modules, "bjontegaard", None)
    dataset = datasets.find(str(folder), tmp_path)
    found = [rd.measure("jpeg", dataset, tmp_path / f"{k}.json", qualities=(1, 4, 8, 20)) for k in "ab"]
    found[1] = attrs.evolve(found[1], codec="another")
    with pytest.raises(LicframeError, match=r"licframe\[bench\]"):
        report.render(found, [found[0]])


def test_a_report_shows_one_data_set() -> None:
    with pytest.raises(ResultsError, match="one data set"):
        report.render([], [])


def _browser():
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    phone = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2}}
    options.add_experimental_option("mobileEmulation", phone)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def test_page_works_in_a_browser(page: Path) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    browser = _browser()
    try:
        browser.get(page.as_uri())
        images = browser.find_elements("css selector", ".stage img")
        loaded = [browser.execute_script("return arguments[0].naturalWidth", image) for image in images]
        stage = browser.find_element("css selector", ".stage")
        slider = browser.find_element("css selector", ".viewer input")

        def border() -> float:
            script = "return getComputedStyle(arguments[0]).getPropertyValue('--border')"
            return float(browser.execute_script(script, stage).rstrip("%") or 50)

        slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        by_keys = border()
        slider.send_keys(Keys.HOME)
        left = Select(browser.find_element("css selector", "[data-side=left]"))
        left.select_by_visible_text("original")
        shown = [i.get_attribute("alt") for i in images if i.is_displayed()]

        assert all(width > 100 for width in loaded)
        assert by_keys == 51
        assert border() == 0
        assert shown == ["a: original", "a: jpeg"]
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


def test_ablation_measures_every_combination(folder: Path, tmp_path: Path) -> None:
    dataset = datasets.find(str(folder), tmp_path)
    variants = ablation.measure(
        "tiny", ["refiner=none", "transform=no-such"], dataset, tmp_path, qualities=(0, 30, 60, 100)
    )

    assert [v.label for v in variants] == [
        "base",
        "transform=no-such",
        "refiner=none",
        "refiner=none, transform=no-such",
    ]
    assert variants[2].percent == pytest.approx(0)
    assert variants[2].decode_ratio > 0
    assert 'unknown transform "no-such"' in variants[1].problem


def test_swaps_are_checked() -> None:
    with pytest.raises(UsageError, match="expected kind=name"):
        ablation.combinations(["entropy=laplace"])
    assert len(ablation.combinations(["entropy_model=a", "entropy_model=b", "refiner=c"])) == 6


def test_commands(folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from licframe.cli.app import app

    run = CliRunner().invoke
    common = ["--images", str(folder), "--qualities", "0,30,60,100"]
    done = run(app, ["ablate", "tiny", "--swap", "refiner=none", "-o", str(tmp_path), *common])
    again = run(app, ["report", str(tmp_path), "-o", str(tmp_path / "r.html"), "--anchor", "tiny"])

    assert "+0.00 %" in done.stdout
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    assert again.exit_code == 0
    assert (tmp_path / "r.html").stat().st_size > 10_000
