"""Pages of blind comparison: what stands in them, and what their answers say."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from licframe.cli.app import app
from licframe.codec.target import Target
from licframe.errors import FileError, LimitError, ResultsError, UsageError
from licframe.evaluation import blind
from licframe.evaluation.comparison import Coded, Comparison, Level, codecs_named, compare, targets_of
from licframe.evaluation.pages import address
from licframe.testing.exactness import sample_images
from tests.browser import browser as started


def coded(codec: str, size: int, level: int) -> Coded:
    return Coded(codec, size, 0.5, np.full((64, 96, 3), level, np.uint8), {"psnr": 30.0})


def comparisons(pictures: int = 2) -> list[Comparison]:
    """Flat pictures; jpeg's are darker than those of the codec that decides."""
    levels = tuple(
        Level(label, (coded("balanced", 500, 120), coded("jpeg", 490, 20)))
        for label in ("0.25 bpp", "0.5 bpp")
    )
    return [
        Comparison(f"picture {number}", np.full((64, 96, 3), 130, np.uint8), levels)
        for number in range(pictures)
    ]


def study_of(page: str) -> dict:
    (found,) = re.findall(r'<script type="application/json" id="study">(.*?)</script>', page)
    return json.loads(found)


def revealed(text: str) -> dict:
    return json.loads(base64.b64decode(text))


def record(**changed) -> dict:
    trial = {"picture": "p", "rate": "0.5 bpp", "a": "balanced", "b": "jpeg", "answer": "a", "seconds": 2.0}
    head = {"schema": blind.SCHEMA, "codec": "balanced", "study": "0", "started": "2026-01-01T00:00:00Z"}
    return {**head, "trials": [trial, {**trial, "rate": "0.25 bpp", "answer": "none"}], **changed}


def saved(path: Path, **changed) -> Path:
    path.write_text(json.dumps(record(**changed)))
    return path


def test_page_says_nothing_of_codecs_and_needs_no_network() -> None:
    page = blind.render(comparisons(), 3, "A </script> B")
    study = study_of(page)

    assert "<title>A &lt;/script&gt; B</title>" in page
    assert study["title"] == "A </script> B"
    assert not re.search("balanced|jpeg|0.25 bpp", page)
    assert not re.search("https?://", page)
    assert all(text.startswith("data:image/webp") for text in study["pictures"])
    assert len(study["pictures"]) == 3  # what trials share stands there once


def test_seed_draws_the_order() -> None:
    shown = comparisons(12)
    studies = [study_of(blind.render(shown, seed)) for seed in (3, 3, 4)]
    a = [revealed(trial["hidden"])["a"]["codec"] for trial in studies[0]["trials"]]

    assert studies[0] == studies[1] != studies[2]
    assert studies[0]["seed"] == 3
    assert studies[0]["study"] != studies[2]["study"]
    assert {a.count("balanced") + a.count("jpeg"), min(a.count("balanced"), a.count("jpeg")) > 5} == {
        24,
        True,
    }
    for trial in studies[0]["trials"]:
        hidden = revealed(trial["hidden"])
        dark = studies[0]["pictures"].index(address(np.full((64, 96, 3), 20, np.uint8)))
        assert trial["shown"]["ab".index("b" if hidden["b"]["codec"] == "jpeg" else "a") * 2] == dark


def test_trials_are_drawn_evenly() -> None:
    targets = [Target(bpp=0.1), Target(bpp=0.5)]
    drawn = blind.draw([Path(str(n)) for n in range(9)], targets, ["avif", "jxl"], 24, 1)
    counts = [sum(d.target == t and d.other == o for d in drawn) for t in targets for o in ("avif", "jxl")]

    assert counts == [6, 6, 6, 6]
    assert len(set(drawn)) == 24


def test_answers_are_tabulated(tmp_path: Path) -> None:
    first = saved(tmp_path / "1.json")
    second = saved(tmp_path / "2.json", started="2026-01-02T00:00:00Z")
    tallies = blind.tabulate(blind.load_all_answers([first, second]))
    done = CliRunner().invoke(app, ["report", "--blind-answers", str(first), str(second)])

    assert tallies == [
        blind.Tally("balanced", "jpeg", "all", 2, 0, 2),
        blind.Tally("balanced", "jpeg", "0.25 bpp", 0, 0, 2),
        blind.Tally("balanced", "jpeg", "0.5 bpp", 2, 0, 0),
    ]
    assert tallies[0].p == 0.5
    assert done.stdout.splitlines()[0] == "4 answers of 2 sittings"
    assert done.stdout.splitlines()[2].split() == ["balanced", "jpeg", "all", "2", "0", "2", "0.5"]


def test_sign_test() -> None:
    assert blind.sign_test(0, 0) == 1
    assert blind.sign_test(5, 5) == 1
    assert blind.sign_test(15, 5) == blind.sign_test(5, 15) == pytest.approx(0.0414, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "holds no answers"),
        ("[1]", "holds no answers"),
        ('{"schema": "licframe-rd-1"}', '"licframe-rd-1"; expected licframe-blind-1'),
        (json.dumps(record(trials=3)), "holds no answers"),
        (json.dumps(record(codec="avif")), "trial 1 compares balanced with jpeg"),
        (json.dumps(record(trials=[{**record()["trials"][0], "answer": "c"}])), "holds no answers"),
    ],
)
def test_files_that_hold_no_answers(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ResultsError, match=said) as error:
        blind.load_answers(tmp_path / "a.json")
    assert "a.json" in str(error.value)
    assert "licframe report --blind saved" in str(error.value)


def test_answers_are_counted_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same sitting"):
        blind.load_all_answers([saved(tmp_path / "1.json"), saved(tmp_path / "2.json")])
    with pytest.raises(FileError, match=r"cannot read .*none\.json"):
        blind.load_answers(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to show"),
        (["--blind"], "name them with --show"),
        (["--blind", "--blind-answers"], "leave out either"),
        (["--blind", "a.json", "--show", "a.png"], "results have no place on a blind page"),
        (["--seed", "1"], "are for blind pages"),
        (["--blind-answers"], "no files of answers are named"),
        (["--blind", "--show", "a.png", "--compare-bpp", "x"], "--compare-bpp x: expected numbers"),
        (["--blind", "--show", "a.png", "--compare-bpp", "-1"], "bpp is -1.0; it must be a number above 0"),
        (["--blind", "--show", "a.png", "--compare-bpp", "1,1"], "--compare-bpp has 1 2 times"),
        (["--blind", "--show", "a.png", "--compare-bpp", "1", "-q", "3"], "leave out either"),
        (["--blind", "--show", "a.png", "-p", "jpeg"], "jpeg is named 2 times"),
        (["--blind", "--show", "a.png", "--against", "jpgg"], 'no codec "jpgg"'),
    ],
)
def test_options_that_cannot_be_meant(arguments: list[str], said: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["report", *arguments])

    assert said in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(UsageError, match="no trials"):
        blind.render([], 0)
    with pytest.raises(LimitError, match="at most 16383 pixels a side"):
        address(np.zeros((1, 16384, 3), np.uint8))


def test_codecs_have_at_most_the_bytes_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(sample_images(1, 64)[0]).save(path)
    codecs = codecs_named("webp", ["jpeg"])
    (level,) = compare(path, codecs, targets_of(None, [3])).levels
    webp, jpeg = level.coded

    assert level.label == "3 bpp"
    assert webp.bpp <= 3
    assert jpeg.size <= webp.size
    assert jpeg.caption.startswith(
        f"jpeg {jpeg.size} bytes, {jpeg.bpp:.3f} bpp, PSNR {jpeg.scores['psnr']:.2f}"
    )
    with pytest.raises(
        LimitError, match=r"a\.png: the smallest file of webp has .* above 0\.01; allow more"
    ):
        compare(path, codecs, targets_of(None, [0.01]))


def test_trials_with_larger_files_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(sample_images(1, 64)[0]).save(path)
    drawn = blind.draw([path], targets_of(1, []), ["jpeg"], 9, 0)
    shown, left_out = blind.compare_drawn(drawn, codecs_named("webp", ["jpeg"]), lambda done, total: None)

    assert len(left_out) == 1
    assert re.search(r"a\.png at quality 1: the smallest file of jpeg has \d+ bytes", left_out[0])
    with pytest.raises(UsageError, match="higher rates"):
        blind.render(shown, 0)


def _until(said, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_blind_run_in_a_browser(tmp_path: Path) -> None:
    """By keys, buttons, back and a reload; the file holds what was answered."""
    page, downloads = tmp_path / "blind.html", tmp_path / "downloads"
    page.write_text(blind.render(comparisons(2), 3, "Test"))
    downloads.mkdir()
    browser = started(downloads, width=360, height=780)
    try:
        browser.get(page.as_uri())

        def find(selector: str):
            return browser.find_element("css selector", selector)

        def press(keys: str) -> None:
            find("body").send_keys(keys)

        def at(number: int) -> None:
            _until(
                lambda: (
                    find("#where").text == f"Trial {number} of 4" and browser.execute_script("return ready")
                )
            )

        def seen() -> list[str]:
            names = browser.find_elements("css selector", "figcaption")
            return [name.text for name in names if name.is_displayed()]

        at(1)
        press("a")
        hint, around = find("#hint").text, [seen()]
        for _ in range(4):
            press("f")
            around.append(seen())
        press("4")
        everything = seen()
        press("a")
        at(2)
        press("13")
        find("[data-answer=b]").click()
        at(3)
        find("#back").click()
        at(2)
        press("13c")
        at(3)
        browser.refresh()  # loses nothing
        at(3)
        width = browser.execute_script("return document.documentElement.scrollWidth")
        press("13\ue014")  # the right arrow
        at(4)
        press("13\ue012")
        _until(lambda: list(downloads.glob("*.json")))
        shown = find("#result").text
        browser.refresh()
        _until(lambda: find("#end").is_displayed())

        assert hint.startswith("Look at both A and B first")
        assert around == [["original"], ["A"], ["original"], ["B"], ["original"]]
        assert everything == ["A", "original", "B"]
        assert width <= 360
        assert find("#result").text == shown
        assert browser.get_log("browser") == []
    finally:
        browser.quit()
    (path,) = downloads.glob("*.json")
    (answers,) = blind.load_all_answers([path])
    saved_there, study = json.loads(path.read_text()), study_of(page.read_text())
    hidden = [revealed(trial["hidden"]) for trial in study["trials"]]
    (tally,) = saved_there["result"]
    row = blind.tabulate([answers])[0]

    assert [trial.answer for trial in answers.trials] == ["a", "none", "b", "a"]
    assert [(t.a, t.b) for t in answers.trials] == [(h["a"]["codec"], h["b"]["codec"]) for h in hidden]
    assert [t.rate for t in answers.trials] == [h["rate"] for h in hidden]
    assert (answers.study, saved_there["seed"], answers.codec) == (study["study"], 3, "balanced")
    assert (tally["wins"], tally["losses"], tally["undecided"]) == (row.wins, row.losses, row.undecided)
    assert row.wins + row.losses == 3
    assert tally["p"] == pytest.approx(row.p)
    assert re.search(rf"balanced {row.wins} jpeg {row.losses} 1 ", shown)
