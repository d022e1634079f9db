"""Exit codes: what was typed wrongly is usage, what is wrong with files and folders is a file error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from licframe import errors
from licframe.cli.app import app
from licframe.errors import FileError, LicframeError, UsageError
from licframe.evaluation import bd, datasets, rd, results
from licframe.evaluation.results import Results
from licframe.picture.images import read_picture
from licframe.profile.profile import latent_profile
from licframe.runtime.atomic import files_in, make_folder, read_file, write_atomically, written_whole
from licframe.training import Schedule, hardware_on
from licframe.training.bundle import make_bundle
from licframe.training.checkpoint import Checkpoint
from licframe.training.refit import Recipe


def test_every_error_has_a_code_of_its_own_or_its_parents() -> None:
    found = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, LicframeError)]
    codes = {e.__name__: e.exit_code for e in found}

    assert (codes["UsageError"], codes["FileError"]) == (2, 10)
    own = [e.exit_code for e in found if "exit_code" in vars(e) and e.__name__ != "PluginLoadError"]
    assert len(set(own)) == len(own)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["compress", "a.png", "--quality", "101"], "quality is 101"),
        (["compress", "a.png", "--size", "9", "--psnr", "30"], "one of quality"),
        (["compress", "a.png", "--limit", "depth=3"], "known limits"),
        (["compress", "a.png", "b.png", "-o", "c.lic"], "give a folder"),
        (["compress", "a.png", "a.jpg"], "one by one"),
        (["run", "tiny", "a.png", "--bpp", "-1"], "above 0"),
        (["bench", "rd", "jpeg", "jpeg"], "named 2 times"),
        (["bench", "rd", "jpeg", "--images", ".", "--qualities", "low"], "numbers separated"),
        (["bench", "speed", "tiny", "--sizes", "64"], "WIDTHxHEIGHT"),
        (["bench", "speed", "tiny", "--base", "fast", "--image", "a.png"], "is not among"),
        (["bench", "loss", "a.pt"], "--profile"),
        (["profiles", "--set", "training.batch=3"], "name it"),
        (["ablate", "tiny", "--swap", "gaussian", "--images", "."], "kind=name"),
        (["refit"], "--data"),
        (["refit", "a.safetensors", "--table"], "fits nothing"),
        (["train", "tiny", "--data", ".", "--crop-share", "0.5"], "--crop is"),
        (["train", "tiny", "--data", ".", "--fit", "most"], "expected all"),
        (["train", "tiny", "--data", ".", "--device", "abacus"], "expected auto"),
        (["train", "tiny", "--data", ".", "--bundle", "leg", "--resume"], "carries no --resume"),
    ],
)
def test_what_is_typed_wrongly_is_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    found = CliRunner().invoke(app, args).exception

    assert isinstance(found, UsageError), found
    assert said in str(found)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("args", "there", "said"),
    [
        (["compress", "a.png", "-q", "200"], "a.lic", "quality is 200"),
        (["train", "tiny", "--data", "nowhere"], "runs/tiny/checkpoint.pt", "no training data at nowhere"),
        (["run", "tiny", "a.png"], "licframe-out/a.decoded.png", "a.decoded.png exists"),
    ],
)
def test_what_is_cheap_to_see_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], there: str, said: str
) -> None:
    """A wrong word before a file that exists, and that before weights are loaded."""

    def loads(*_: object, **__: object) -> None:
        raise AssertionError("a codec was loaded")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("licframe.codec.loading.load", loads)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).touch()
    found = CliRunner().invoke(app, args).exception

    assert isinstance(found, LicframeError), found
    assert said in str(found)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: bd.bd_rate(Results("a", "", "", ""), Results("b", "", "", ""), "vmaf"),
        lambda: rd.measure("jpeg", datasets.Dataset("x", (Path("a.png"),)), Path("a.json"), workers=0),
        lambda: hardware_on(precision="64"),
    ],
)
def test_wrong_arguments_are_usage(tmp_path: Path, monkeypatch, wrong: Callable[[], object]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        wrong()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["compress", "*.bmp"], "no file fits"),
        (["compress", "none.png", "-p", "tiny"], "no file none.png"),
        (["compress", ".", "-p", "tiny", "-o", "x.lic"], "is a folder"),
        (["decompress", "none.lic"], "cannot read none.lic"),
        (["bench", "rd", "jpeg", "--images", "nowhere"], "no data set"),
        (["deepen", "tiny", "tiny", "a.png"], "a.png exists"),
        (["refit", "none.safetensors", "--data", "."], "cannot read none.safetensors"),
        (["refit", "--recipe", "none.toml", "--data", "."], "cannot read none.toml"),
        (["train", "tiny", "--data", "none"], "no training data"),
        (["train", "tiny", "--data", ".", "--folder", "a.png"], "is a file"),
        (["train", "tiny", "--data", ".", "--resume"], "nothing to resume"),
        (["train", "tiny", "--data", ".", "--bundle", "."], "not empty"),
    ],
)
def test_what_is_wrong_with_files_is_a_file_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    found = CliRunner().invoke(app, args).exception

    assert isinstance(found, FileError), found
    assert said in str(found)
    assert (tmp_path / "a.png").stat().st_size > 0


def test_no_raw_error_of_the_system_comes_through(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inside = tmp_path / "file" / "x"
    for work in (
        lambda: read_file(inside),
        lambda: files_in(inside),
        lambda: make_folder(inside),
        lambda: write_atomically(inside, b""),
        lambda: read_picture(tmp_path),
        lambda: results.save(Results("a", "", "", ""), inside),
        lambda: Checkpoint({}, {}, {}, 0, 0.0).write(inside),
        lambda: Recipe.read(inside),
        lambda: list(make_bundle(latent_profile("tiny"), [], inside, None, Schedule(minutes=1))),
    ):
        with pytest.raises(FileError, match="cannot"):
            work()


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a"
    write_atomically(path, "é")
    assert path.read_bytes() == "é".encode()

    def half(error: type[BaseException]) -> None:
        with written_whole(path) as partial:
            partial.write_bytes(b"half")
            raise error

    for error, raised in ((KeyboardInterrupt, KeyboardInterrupt), (OSError, FileError)):
        with pytest.raises(raised):
            half(error)
        assert path.read_bytes() == "é".encode()
        assert [p.name for p in path.parent.iterdir()] == ["a"]
