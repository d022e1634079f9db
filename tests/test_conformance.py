"""Every built-in part passes the conformance kit; so does a stranger's package, installed for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from PIL import Image

from licframe.bitstream import container
from licframe.picture.images import from_array, read_picture
from licframe.registry.discovery import registry
from licframe.testing.conformance import CodecConformance, Conformance, PictureFilterConformance
from licframe.testing.exactness import sample_images

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
EXAMPLES = ("licframe-heavytail", "licframe-simplest", "licframe-dct", "licframe-broken")
DCT = ROOT / "examples" / "licframe-dct" / "dct.toml"
_LOF = ["refiner.plugin=lof", "refiner.seconds=0", "refiner.steps=3", "refiner.run=3"]
_SMALL = {
    "hyperprior": ["hyper=8", "width=16", "hidden=16"],
    "checkerboard": ["hyper=8", "width=16", "hidden=16"],
    "autoregressive": ["hyper=8", "width=16", "context=16", "hidden=16"],
}


def scheduler(name: str, *more: str) -> list[str]:
    options = [f"context_scheduler.{option}" for option in _SMALL.get(name, [])]
    return [f"context_scheduler.plugin={name}", *options, *more]


def built_in(kind: str) -> list[str]:
    parts = registry().parts[kind]
    return sorted(name for name, item in parts.items() if item.distribution.startswith("licframe "))


class TestEveryScheduler(Conformance):
    @pytest.fixture(params=built_in("context_scheduler"))
    def settings(self, request: pytest.FixtureRequest) -> list[str]:
        return scheduler(request.param)


class TestEveryEntropyModel(Conformance):
    @pytest.fixture(params=[name for name in built_in("entropy_model") if name != "gaussian"])  # is tiny's
    def settings(self, request: pytest.FixtureRequest) -> list[str]:
        return [f"entropy_model.plugin={request.param}"]


class TestThreePhases(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["context_scheduler.phases=3"]


class TestTwoPassesOfMixtures(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return scheduler("checkerboard", "entropy_model.plugin=gllmm")


class TestWavefront(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return scheduler("autoregressive", "context_scheduler.order=wavefront")


class TestDistilled(Conformance):
    @pytest.fixture(params=[3, 1])
    def settings(self, request: pytest.FixtureRequest) -> list[str]:
        options = [
            "channels=48",
            "merged=64",
            "widths=[8, 16, 16]",
            "analysis=[0, 0, 0]",
            "synthesis=[2, 1, 0]",
            "synthesis_widths=[4, 8, 0]",
            f"synthesis_ends={request.param}",
        ]
        return ["transform.plugin=distilled", *(f"transform.{option}" for option in options)]


class TestDeformable(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return [
            "transform.plugin=deformable-residual",
            *(
                f"transform.{option}"
                for option in [
                    "channels=48",
                    "merged=64",
                    "widths=[8, 16, 16]",
                    "analysis=[0, 1, 1]",
                    "synthesis=[0, 1, 1]",
                ]
            ),
        ]


class TestDetailParts(Conformance):
    """Those of a detail layer, which make a codec of block transform coefficients by themselves."""

    @pytest.fixture
    def settings(self) -> list[str]:
        small = [f"context_scheduler.{option}" for option in ("base=0", "width=8", "hidden=16")]
        return [
            "transform.plugin=block-dct",
            "context_scheduler.plugin=blocks",
            *small,
            "entropy_model.plugin=sparse",
        ]


class TestLatentOverfitting(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return _LOF


class TestRdo(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["refiner.plugin=rdo", "refiner.seconds=0.5"]


class TestEveryPictureFilter(PictureFilterConformance):
    @pytest.fixture(params=built_in("picture_filter"))
    def settings(self, request: pytest.FixtureRequest) -> list[str]:
        return [f"picture_filter.plugin={request.param}"]


class TestTheLatentCodec(CodecConformance):
    @pytest.fixture
    def profile(self) -> str:
        return "tiny"


class TestOtherFormats(CodecConformance):
    @pytest.fixture(params=["jpeg", "webp", "avif"])
    def profile(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        path = tmp_path / "other.toml"
        path.write_text(f'[codec]\nplugin = "{request.param}"\n')
        return path


@pytest.fixture(scope="module")
def strangers(tmp_path_factory) -> Path:
    """An environment beside this one, with the example packages installed."""
    place = tmp_path_factory.mktemp("strangers")
    packages = [str(ROOT / "examples" / name) for name in EXAMPLES]
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place), *packages]
    subprocess.run(install, check=True, capture_output=True)
    return place


def in_environment(place: Path, *command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("package", ["licframe-heavytail", "licframe-simplest", "licframe-dct"])
def test_a_strangers_package_passes_its_own_tests(strangers: Path, package: str) -> None:
    done = in_environment(
        strangers, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"examples/{package}/tests"
    )

    assert done.returncode == 0, done.stdout[-2000:]


def test_a_profile_uses_a_strangers_parts(strangers: Path, tmp_path: Path) -> None:
    profile = ROOT / "examples" / "licframe-heavytail" / "heavytail.toml"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(sample_images(1, 200)[0]).save(pictures / "a.png")
    trained = in_environment(
        strangers,
        "-m",
        "licframe",
        "train",
        str(profile),
        "--data",
        str(pictures),
        "--minutes",
        "0.02",
        cwd=tmp_path,
    )
    weights = "weights.file=runs/heavytail/weights.safetensors"
    done = in_environment(
        strangers, "-m", "licframe", "run", str(profile), "pictures/a.png", "--set", weights, cwd=tmp_path
    )

    assert trained.returncode == 0, trained.stderr
    assert done.returncode == 0, done.stderr
    assert "PSNR" in done.stdout


_COMMANDS = """
import contextlib, io, json, sys
from licframe import cli
said = []
for sys.argv in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = cli.main()
        except SystemExit as end:
            code = end.code
    said.append((code or 0, out.getvalue(), err.getvalue()))
print(json.dumps(said))
"""


def commands(place: Path, cwd: Path, *lines: tuple[object, ...]) -> list[tuple[int, str, str]]:
    """Run commands in one process; return exit code, output and errors of each."""
    texts = json.dumps([["licframe", *map(str, line)] for line in lines])
    done = in_environment(place, "-c", _COMMANDS, texts, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_commands_take_a_strangers_codec(strangers: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    picture = from_array(sample_images(1, 90)[0])
    picture.save(tmp_path / "pictures" / "a.png")
    said = commands(
        strangers,
        tmp_path,
        ("compress", "pictures/a.png", "-p", DCT, "--size", 3000, "-o", "a.lic"),
        ("info", "a.lic", "--json"),
        ("verify", "a.lic"),
        ("decompress", "a.lic", "-o", "again.png"),
        ("run", DCT, "pictures/a.png", "--set", "codec.rounding=0.5"),
        ("bench", "rd", DCT, "--images", "pictures", "--qualities", "20,40"),
        ("plugins",),
        ("profiles", DCT),
    )
    _, info, verify, _, run, bench, plugins, profiles = (out for _, out, _ in said)
    shown = json.loads(info)[0]

    assert [(code, err) for code, _, err in said if code] == []
    assert (tmp_path / "a.lic").stat().st_size <= 3000
    assert (shown["codec"], shown["weights"], list(shown["streams"])) == ("dct 1", "", ["dct 1"])
    assert verify == "a.lic: sound\n"
    assert picture.psnr(read_picture(tmp_path / "again.png").pixels) > 20
    assert "PSNR" in run
    assert "licframe-dct 0.1.0" in bench
    assert "cosine" in plugins
    assert 'plugin = "dct"' in profiles


def test_each_file_is_given_to_its_own_codec(strangers: Path, tmp_path: Path) -> None:
    """Two codecs without weights have the same fingerprint: none."""
    Image.fromarray(sample_images(1, 40)[0]).save(tmp_path / "a.png")
    commands(strangers, tmp_path, ("compress", "a.png", "-p", DCT))
    file = container.read((tmp_path / "a.lic").read_bytes())
    other = attrs.evolve(file, header=attrs.evolve(file.header, codec="nobody-has-this 9"))
    (tmp_path / "b.lic").write_bytes(container.write(other))
    said = commands(
        strangers, tmp_path, ("verify", "a.lic", "b.lic"), ("decompress", "a.lic", "b.lic", "-o", "out")
    )
    for code, _, err in said:
        assert code == 5
        assert 'made by codec "nobody-has-this 9", which no installed plugin provides' in err


def test_a_broken_package_is_listed_and_harms_nobody(strangers: Path) -> None:
    listed = in_environment(strangers, "-m", "licframe", "plugins")
    asked = in_environment(strangers, "-m", "licframe", "profiles", "tiny", "--set", "refiner.plugin=magic")

    assert "heavy-tail" in listed.stdout
    assert "0.1.0: ModuleNotFoundError: No module named 'a_package_that_nobody_has'" in listed.stdout
    assert asked.returncode == 3
    assert "a_package_that_nobody_has" in asked.stderr
