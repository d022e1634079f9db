"""Rate-distortion measurements: baselines, command files, results files, resuming, BD-rate."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import attrs
import bjontegaard
import numpy as np
import pytest
from PIL import Image

from licframe.codec.target import Target
from licframe.errors import FileError, ImageError, LicframeError, ProfileError, ResultsError, UsageError
from licframe.evaluation import datasets, published, rd, results
from licframe.evaluation.bd import bd_rate
from licframe.evaluation.codecs import check_names, codec_named, result_name
from licframe.evaluation.results import Mean, Results
from licframe.picture.images import from_array
from licframe.profile.profile import profile_folder
from licframe.profile.weights import read_metadata
from licframe.testing.exactness import sample_images

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, large enough for MS-SSIM."""
    place = tmp_path / "pictures"
    place.mkdir()
    for number, pixels in enumerate(sample_images(2, 180)):
        Image.fromarray(pixels).save(place / f"{number}.png")
    return place


def curve(*points: tuple[float, float], name: str = "x") -> Results:
    means = tuple(Mean(bpp=b, psnr=p, ms_ssim=1 - 10 ** (-p / 20)) for b, p in points)
    return Results(codec=name, kind="published", version="1", dataset="d", curve=means)


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif", "jpeg2000", "jxl"])
def test_baselines_get_better_with_rate(name: str) -> None:
    codec = codec_named(name).codec
    picture = from_array(sample_images(1, 128)[0])
    found = []
    for quality in (codec.qualities[1], codec.qualities[-1]):
        encoded = codec.encode(picture, Target(quality=quality))
        pixels = codec.decode(encoded.data).picture.pixels
        found.append((len(encoded.data), float(np.square(pixels - picture.pixels.astype(float)).mean())))

        assert pixels.shape == picture.pixels.shape
        assert sum(encoded.seconds.values()) > 0

    assert found[0][0] < found[1][0]
    assert found[0][1] > found[1][1]


def test_missing_packages_are_named() -> None:
    with pytest.raises(LicframeError, match="pip install compressai"):
        codec_named("compressai-mbt2018")


def test_unknown_codec_is_answered_with_a_guess() -> None:
    with pytest.raises(ProfileError, match='did you mean "jpeg"'):
        codec_named("jpegg")
    with pytest.raises(UsageError, match="jpeg is named 2 times"):
        check_names(["jpeg", "jpeg"])


def test_results_call_a_run_by_its_folder(tmp_path: Path) -> None:
    runs = [tmp_path / name / "profile.toml" for name in ("a", "b", "more/a")]

    assert [result_name(str(run)) for run in runs] == ["a", "b", "a"]
    assert [result_name(name) for name in ("jpeg", "some/mine.toml")] == ["jpeg", "mine"]
    check_names(["a.toml", str(runs[1])])
    with pytest.raises(UsageError, match=r"would both be called a in results"):
        check_names([str(runs[0]), "jpeg", str(runs[2])])


def test_two_results_of_one_name_are_refused(tmp_path: Path) -> None:
    """The second would hide the first."""
    for folder in ("x", "y"):
        results.save(curve((1, 30), name="mine"), tmp_path / folder / "mine.json")

    with pytest.raises(ResultsError, match='both hold results of "mine"'):
        results.load_all([tmp_path / "x", tmp_path / "y"])
    assert len(results.load_all([tmp_path / "x"])) == 1


def test_a_command_file_is_a_codec(tmp_path: Path) -> None:
    script = tmp_path / "codec.py"
    script.write_text(
        "import sys; from PIL import Image\n"
        "Image.open(sys.argv[1]).save(sys.argv[2], **({'quality': int(sys.argv[3])} if len(sys.argv) > 3 else {}))\n"
    )
    command = tmp_path / "mine.toml"
    command.write_text(
        f'version = "1"\nqualities = [20, 80]\nsuffix = ".jpg"\n'
        f'encode = "{sys.executable} {script} {{input}} {{output}} {{quality}}"\n'
        f'decode = "{sys.executable} {script} {{input}} {{output}}"\n'
    )
    codec = codec_named(str(command)).codec
    picture = from_array(sample_images(1, 64)[0])

    sizes = [len(codec.encode(picture, Target(quality=q)).data) for q in codec.qualities]
    pixels = codec.decode(codec.encode(picture, Target(quality=80)).data).picture.pixels

    assert sizes[0] < sizes[1]
    assert pixels.shape == picture.pixels.shape


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('encode = "x"\ndecode = "x"\nqualities = [1]\ncolour = 1\n', "colour"),
        (
            'encode = "no-such-program {input}"\ndecode = "x"\nqualities = [1]\n',
            "no program no-such-program",
        ),
        ('encode = "x {nothing}"\ndecode = "x"\nqualities = [1]\n', "allowed: input"),
        (f'encode = "{sys.executable} -c 1/0"\ndecode = "x"\nqualities = [1]\n', "ZeroDivisionError"),
        (f'encode = "{sys.executable} -c 0"\ndecode = "x"\nqualities = [1]\n', "wrote no coded"),
    ],
)
def test_a_bad_command_file_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)

    with pytest.raises(LicframeError, match=said):
        codec_named(str(path)).codec.encode(from_array(sample_images(1, 32)[0]), Target(quality=1))


def test_measuring_counts_real_bytes_and_resumes(folder: Path, tmp_path: Path, monkeypatch) -> None:
    dataset = datasets.find(str(folder), tmp_path)
    path = tmp_path / "out" / "tiny.json"
    first = rd.measure("tiny", dataset, path, qualities=(0, 100))
    asked = []
    monkeypatch.setattr(rd, "run_job", lambda job: asked.append((job.path.name, job.qualities)) or [])
    again = rd.measure("tiny", dataset, path, qualities=(0, 50, 100))

    assert first.images == ("0.png", "1.png")
    for point in first.points:
        assert point.bpp == 8 * point.bytes / (point.width * point.height)
        assert point.psnr > 15
        assert 0.5 < point.ms_ssim < 1
    assert asked == [("0.png", (50.0,)), ("1.png", (50.0,))]
    assert again.points == results.load(path).points


def test_results_of_other_weights_are_not_reused(folder: Path, tmp_path: Path) -> None:
    dataset = datasets.find(str(folder), tmp_path)
    path = tmp_path / "jpeg.json"
    found = rd.measure("jpeg", dataset, path, qualities=(50,))
    results.save(attrs.evolve(found, version="another"), path)
    counted = []
    rd.measure("jpeg", dataset, path, qualities=(50,), progress=lambda done, _: counted.append(done))

    assert counted == [1, 2]


def test_a_version_names_all_that_decides_results() -> None:
    """Files of one context look the same whichever synthesis decodes them; results must not."""
    folder = profile_folder() / "weights"
    synthesis = read_metadata(folder / "balanced+distilled.safetensors")["fingerprint"][:12]
    fast, filtered = (codec_named("fast", s).codec.version for s in ((), ("picture_filter.plugin=wiener",)))

    assert f", synthesis {synthesis}" in fast
    assert fast != filtered
    assert codec_named("tiny").codec.version.endswith(", picture filter wiener 1")


def test_workers_measure_the_same(folder: Path, tmp_path: Path) -> None:
    dataset = datasets.find(str(folder), tmp_path)
    found = [
        rd.measure("jpeg", dataset, tmp_path / str(n) / "jpeg.json", qualities=(30,), workers=n)
        for n in (1, 2)
    ]

    one, two = ([(p.image, p.bytes, p.psnr) for p in r.points] for r in found)

    assert one == two


def test_csv_holds_every_point(folder: Path, tmp_path: Path) -> None:
    found = rd.measure(
        "jpeg", datasets.find(str(folder), tmp_path), tmp_path / "jpeg.json", qualities=(30, 60)
    )
    rows = list(csv.DictReader(io.StringIO(results.to_csv([found]))))

    assert [(r["image"], int(r["bytes"])) for r in rows] == [(p.image, p.bytes) for p in found.points]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "licframe-rd-1"}', '{"schema": "other"}', "no"]
)
def test_results_files_are_checked(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)

    with pytest.raises(ResultsError, match=str(path)):
        results.load(path)


def test_mean_curve_leaves_out_unfinished_qualities(folder: Path, tmp_path: Path) -> None:
    found = rd.measure(
        "jpeg", datasets.find(str(folder), tmp_path), tmp_path / "jpeg.json", qualities=(30, 60)
    )

    assert [m.quality for m in results.mean_curve(found.points[:3])] == [30.0]
    assert found.curve[0].psnr == pytest.approx(np.mean([p.psnr for p in found.points if p.quality == 30]))


def test_known_data_sets_are_checked(tmp_path: Path) -> None:
    place = tmp_path / "kodak"
    with pytest.raises(FileError, match=r"24 pictures .* there are 0; .*r0k.us"):
        datasets.find("kodak", tmp_path)
    place.mkdir()
    for number in range(1, 25):
        Image.new("RGB", (768, 512)).save(place / f"kodim{number:02}.png")
    with pytest.raises(ImageError, match=r"kodim01.png is not the picture of that name"):
        datasets.find("kodak", tmp_path)
    with pytest.raises(FileError, match='did you mean "kodak"'):
        datasets.find("kodac", tmp_path)


def test_bd_rate_of_half_the_rate_is_minus_fifty_percent() -> None:
    points = [(0.1, 28.0), (0.3, 31.0), (0.7, 34.0), (1.5, 38.0)]
    anchor, test = curve(*points, name="a"), curve(*((b / 2, p) for b, p in points), name="t")
    for metric in ("psnr", "ms_ssim"):
        for method in ("pchip", "akima"):
            assert bd_rate(anchor, test, metric, method).percent == pytest.approx(-50)
    said = bd_rate(anchor, test).describe()

    assert "-50.0 % against a (1), PSNR 28.0-38.0 dB, pchip, 4 and 4 points, overlap 100%" in said


def test_bd_rate_leaves_out_other_rates() -> None:
    """Far above and below, the test needs twice the rate; between, half."""
    points = [(0.04, 24.0), (0.2, 27.0), (0.4, 30.0), (0.8, 33.0), (1.6, 36.0), (3.2, 39.0)]
    odd = [(rate * (0.5 if 0.15 < rate < 2 else 2), shown) for rate, shown in points]
    anchor, test = curve(*points, name="a"), curve(*sorted(odd), name="t")
    found = bd_rate(anchor, test, rates=(0.1, 1.6))

    assert found.points == (4, 4)
    assert found.percent == pytest.approx(-50)


def test_bd_rate_is_that_of_bjontegaard() -> None:
    known = published.published("kodak")
    a, b = known["vtm-9.1"], known["bpg"]
    wanted = bjontegaard.bd_rate(
        [m.bpp for m in a.curve],
        [m.psnr for m in a.curve],
        [m.bpp for m in b.curve],
        [m.psnr for m in b.curve],
        method="pchip",
        require_matching_points=False,
        min_overlap=0,
    )

    assert bd_rate(a, b).percent == pytest.approx(wanted, abs=1e-4)
    assert bd_rate(a, b).percent == pytest.approx(22.0, abs=0.5)  # as others computed it


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([(0.1, 28), (0.2, 30), (0.4, 33)], "has 3 points with psnr; at least 4"),
        ([(0.1, 37), (0.2, 40), (0.4, 43), (0.8, 46)], "share 11%"),
        ([(0.1, 28), (0.3, 31), (0.2, 33), (0.8, 36)], "does not rise"),
    ],
)
def test_bd_rate_refuses(points: list[tuple[float, float]], said: str) -> None:
    anchor = curve((0.1, 28), (0.3, 31), (0.7, 34), (1.5, 38), name="a")

    with pytest.raises(ResultsError, match=said):
        bd_rate(anchor, curve(*points, name="t"))


def test_bd_rate_refuses_other_images() -> None:
    anchor = curve((0.1, 28), (0.3, 31), (0.7, 34), (1.5, 38))

    with pytest.raises(ResultsError, match="different images"):
        bd_rate(anchor, attrs.evolve(anchor, dataset="other"))


def test_published_curves_say_where_they_come_from() -> None:
    for dataset in ("kodak", "clic", "tecnick"):
        for name, item in published.published(dataset).items():
            assert item.codec == name
            assert item.kind == "published"
            assert item.dataset == dataset
            assert item.source
            assert list(item.curve) == sorted(item.curve, key=lambda m: m.bpp)
    with pytest.raises(ResultsError, match="known: "):
        published.curve("kodak", "vtm")


def test_command_line(folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from licframe.cli.app import app

    out = tmp_path / "out"
    arguments = [
        "bench",
        "rd",
        "jpeg",
        "webp",
        "--images",
        str(folder),
        "-o",
        str(out),
        "--qualities",
        "10,30,50,80",
    ]
    done = CliRunner().invoke(app, [*arguments, "--anchor", "jpeg"], catch_exceptions=False)
    record = json.loads(CliRunner().invoke(app, [*arguments, "--anchor", "jpeg", "--json"]).stdout)

    assert "webp: " in done.stdout
    assert "against jpeg (Pillow" in done.stdout
    assert record["bd_rate"][0]["anchor"] == "jpeg"
    assert (out / "points.csv").read_text().count("\n") == 1 + 2 * 2 * 4
