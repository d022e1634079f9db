"""Ablation and report; the page is tried in a real browser."""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path

import attrs
import pytest
from PIL import Image

from licframe.codec.target import Target
from licframe.errors import (
    LicframeError,
    ResultsError,
    UnknownPluginError,
    UsageError,
    WeightsMismatchError,
)
from licframe.evaluation import ablation, datasets, rd, report
from licframe.evaluation.codecs import codec_named
from licframe.evaluation.comparison import codecs_named, compare, equal_bytes
from licframe.picture.images import from_array
from licframe.profile.profile import latent_profile
from licframe.testing.exactness import sample_images
from tests.browser import browser as started

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
    shown = compare(
        folder / "a.png", codecs_named("tiny", ["jpeg", "webp"]), [Target(quality=30), Target(bpp=1)]
    )
    path.write_text(report.render(found, [found[1]], [shown], "A & B"))
    return path


def test_page_is_self_contained(page: Path) -> None:
    text = page.read_text()

    assert "<title>A &amp; B</title>" in text
    assert text.count("data:image/webp") == 1 + 2 * 3 * 2  # three codecs and their errors at two levels
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
    for name in ("jpeg", "jpeg2000", "tiny"):
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


def test_page_works_in_a_browser(page: Path) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    browser = started()
    try:
        browser.get(page.as_uri())
        find = functools.partial(browser.find_element, "css selector")
        images = browser.find_elements("css selector", ".stage img")
        stage, slider = find(".stage"), find(".viewer input")

        def border() -> float:
            script = "return getComputedStyle(arguments[0]).getPropertyValue('--border')"
            return float(browser.execute_script(script, stage).rstrip("%") or 50)

        def shown() -> list[str]:
            return [i.get_attribute("alt") for i in images if i.is_displayed()]

        scale = find("[data-scale]").text
        slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        by_keys = border()
        slider.send_keys(Keys.HOME)
        at_home = border(), find("[data-now]").text
        Select(find("[data-side=left]")).select_by_visible_text("original")
        first = shown()
        Select(find("[data-level-choice]")).select_by_visible_text("1 bpp")
        Select(find("[data-side=left]")).select_by_visible_text("webp")

        assert by_keys == 51
        assert at_home == (0, "right")
        assert first == ["a: original", "a: jpeg, quality 30"]
        assert shown() == ["a: jpeg, 1 bpp", "a: webp, 1 bpp"]
        assert re.fullmatch(r"left: webp \d+ bytes, [\d.]+ bpp, PSNR .*", find("[data-caption=left]").text)
        assert all(image.get_property("naturalWidth") > 100 for image in images)
        assert "not scaled" in scale
        # the screen has two pixels for each of CSS
        assert stage.rect["width"] == pytest.approx(images[0].get_property("naturalWidth") / 2, abs=1)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


def test_the_slider_is_no_wider_than_a_small_picture(page: Path) -> None:
    browser = started(width=1200)
    try:
        browser.get(page.as_uri())
        slide, frame = (browser.find_element("css selector", name).rect for name in (".slide", ".frame"))

        assert frame["width"] < 192  # the least that the slider has
        assert slide["width"] == pytest.approx(192, abs=1)
    finally:
        browser.quit()


def test_flicker_shows_one_picture_and_then_the_other(page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = started()
    try:
        browser.get(page.as_uri())
        find = functools.partial(browser.find_element, "css selector")
        frame, button = find(".frame"), find("[data-flicker]")
        now = []
        for focused, key in (
            (frame, "f"),
            (frame, "F"),
            (button, Keys.ENTER),
            (find(".viewer input"), "f"),
        ):
            focused.send_keys(key)
            now.append((find("[data-now]").text, find(".viewer input").get_property("value")))
        button.click()
        find("[data-side=left]").send_keys("f")  # its own key: it chooses by letters

        assert now == [("left", "100"), ("right", "0"), ("left", "100"), ("right", "0")]
        assert find("[data-now]").text == "left"
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


def test_ablation_measures_every_combination(folder: Path, tmp_path: Path) -> None:
    dataset = datasets.find(str(folder), tmp_path)
    variants = ablation.measure(
        "tiny", ["refiner=none", "entropy_model=laplace"], dataset, tmp_path, qualities=(0, 30, 60, 100)
    )

    assert [v.label for v in variants] == [
        "base",
        "entropy_model=laplace",
        "refiner=none",
        "refiner=none, entropy_model=laplace",
    ]
    assert variants[2].percent == pytest.approx(0)
    assert variants[2].decode_ratio > 0
    start = latent_profile("tiny").weights_path
    assert variants[1].problem.endswith(
        f"licframe train tiny --set entropy_model.plugin=laplace --fit context --start {start} --data FOLDER "
        "--folder runs/tiny+entropy_model-laplace"
    )


@pytest.mark.parametrize(
    ("swaps", "error"),
    [
        (["refiner=none", "transform=no-such"], UnknownPluginError),
        (["entropy_model=laplace"], WeightsMismatchError),
    ],
)
def test_an_ablation_that_cannot_be_measures_nothing(
    folder: Path, tmp_path: Path, swaps: list[str], error: type[LicframeError]
) -> None:
    """Neither an unknown part nor one without weights is found only after the base was measured."""
    with pytest.raises(error):
        ablation.measure("tiny", swaps, datasets.find(str(folder), tmp_path), tmp_path)

    assert not list(tmp_path.iterdir())


def test_a_report_of_profiles_alone_refers_to_the_first(folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from licframe.cli.app import app

    dataset = datasets.find(str(folder), tmp_path)
    for name in ("one", "two"):
        rd.measure("tiny", dataset, tmp_path / f"{name}.json", qualities=(0, 20, 35, 50))
    done = CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(tmp_path / "r.html")])

    assert done.exit_code == 0, done.exception
    assert '<th scope="col">one, PSNR</th>' in (tmp_path / "r.html").read_text()


def test_swaps_are_checked() -> None:
    with pytest.raises(UsageError, match="expected kind=name"):
        ablation.combinations(["entropy=laplace"])
    with pytest.raises(UsageError, match="there twice"):
        ablation.combinations(["refiner=none", "refiner=none"])
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
