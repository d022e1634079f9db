"""What is written where: no input is destroyed, nothing is replaced unasked, and links, pipes and modes stay."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import stat
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import licframe
import licframe.pillow
from licframe.cli import streams
from licframe.cli.app import app
from licframe.cli.options import print_table
from licframe.codec.latent import LatentCodec
from licframe.errors import CorruptStreamError, FileError, ImageError, LicframeError, UsageError
from licframe.evaluation import results
from licframe.evaluation.results import Mean, Results
from licframe.picture import alpha
from licframe.picture.images import Picture, read_picture
from licframe.runtime.atomic import to_json, write_atomically

TINY = ("-p", "tiny")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a picture in it and its .lic file."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16), (1, 2, 3)).save(tmp_path / "in.png")
    assert said("compress", "in.png", "--lossless").exit_code == 0
    return tmp_path


def said(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(*words: object) -> str:
    """Return what a command says that is refused, and that leaves everything as it was."""
    before = {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}
    error = said(*words).exception
    assert isinstance(error, LicframeError), error
    assert {path: path.read_bytes() for path in Path().iterdir() if path.is_file()} == before
    return str(error)


def test_an_input_is_never_its_own_output(here: Path) -> None:
    (here / "link.png").symlink_to("in.png")
    for words in (
        ("compress", "in.png", "-o", "in.png", "--force"),
        ("compress", "in.png", "-o", "link.png", "--force"),
        ("compress", "link.png", "-o", here / "in.png", "--force"),
        ("decompress", "in.lic", "-o", "in.lic"),
    ):
        assert "is an input, and would be replaced" in refused(*words, "--overwrite")


def test_a_lic_file_has_the_name_of_no_picture_unless_forced(here: Path) -> None:
    assert "use -o x.lic, or insist with --force" in refused("compress", "in.png", *TINY, "-o", "x.JPG")
    assert said("compress", "in.png", "--lossless", "-o", "x.jpg", "--force").exit_code == 0
    assert licframe.read(here / "x.jpg").size == (16, 16)


def test_one_file_under_two_names_is_one_input(here: Path) -> None:
    (here / "sub").mkdir()
    found = streams.sources([Path("in.png"), Path("./in.png"), here / "in.png", Path("sub/../in.png")])
    assert found == [Path("in.png")]


def test_links_modes_and_pipes_stay(tmp_path: Path) -> None:
    real, link, pipe = (tmp_path / name for name in ("real", "link", "pipe"))
    link.symlink_to("real")
    write_atomically(link, "new")  # what it points to is not there yet
    real.chmod(0o640)
    write_atomically(link, "newer")
    assert link.is_symlink()
    assert (real.read_text(), stat.S_IMODE(real.stat().st_mode)) == ("newer", 0o640)

    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    write_atomically(pipe, "through")
    reader.join(10)
    assert (got, pipe.is_fifo()) == (["through"], True)
    write_atomically(Path(os.devnull), "gone")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe", "real"]


def test_names_are_as_long_as_the_file_system_allows(here: Path) -> None:
    write_atomically(here / ("ä" * 127), "data")
    with pytest.raises(FileError, match="name too long"):
        write_atomically(here / ("a" * 300), "data")
    assert "name too long" in refused("compress", "in.png", *TINY, "-o", "a" * 300 + ".lic")


def test_a_file_that_may_not_be_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(FileError, match="Permission denied"):
        write_atomically(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"


def test_run_asks_before_it_overwrites(here: Path) -> None:
    words = ("run", "lossless", "in.png", "-o", "out", "--json")
    done = said(*words)
    assert done.exit_code == 0, done.output
    strict = json.loads(done.stdout, parse_constant=pytest.fail)
    assert strict["psnr_db"] is None
    assert "in.decoded.png exists, and 1 more" in str(said(*words).exception)
    assert said(*words, "--overwrite").exit_code == 0


def test_what_is_there_is_skipped_when_asked(here: Path) -> None:
    Image.new("L", (8, 8)).save(here / "b.png")
    (here / "in.lic").write_bytes(b"old")
    words = ("compress", "in.png", "b.png", "--lossless")
    assert "leave it with --skip-existing" in refused(*words)
    done = said(*words, "--skip-existing", "--json")

    assert done.exit_code == 0
    assert [record["file"] for record in json.loads(done.stdout)] == ["b.lic"]
    assert (here / "in.lic").read_bytes() == b"old"
    assert "does not go with" in refused(*words, "--skip-existing", "--overwrite")


def test_info_shows_the_sound_ones(here: Path) -> None:
    (here / "bad.lic").write_bytes(b"bad")
    done = said("info", "bad.lic", "in.lic", "--json")

    assert done.exit_code == CorruptStreamError.exit_code
    assert "bad.lic: not a .lic file" in done.stderr
    assert [record["file"] for record in json.loads(done.stdout)] == ["in.lic"]


def test_the_output_may_come_second(here: Path) -> None:
    assert said("compress", "in.png", "out.lic", "--lossless").exit_code == 0
    assert said("decompress", "out.lic", "out.ppm").exit_code == 0
    assert read_picture(here / "out.ppm").size == (16, 16)
    assert "name an output with -o out.lic" in refused("compress", "in.png", "out.lic", "--lossless")


def test_a_slash_at_its_end_makes_a_folder(here: Path) -> None:
    assert said("compress", "in.png", "--lossless", "-o", "new.d/").exit_code == 0
    assert (here / "new.d" / "in.lic").is_file()


def test_words_fit_the_mistake(here: Path) -> None:
    assert "in.png: not a .lic file" in refused("decompress", "in.png")
    assert "is a folder; name the files in it, for example *.png" in refused("compress", ".")
    assert "for example *.lic" in refused("decompress", ".")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("info in.lic > /dev/full", "cannot write standard output: No space left on device"),
        ("decompress in.lic -o - > /dev/full", "cannot write standard output: No space left on device"),
        ("decompress in.lic -o - >&-", "in.lic: standard output is closed; name a file with -o"),
        ("decompress - -o x.png <&-", "standard input is closed; name a file"),
    ],
)
def test_standard_streams_that_do_not_work_give_one_line(here: Path, words: str, said: str) -> None:
    command = f"{sys.executable} -m licframe {words}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (10, f"licframe: {said}\n")


def test_limits_are_raised_for_every_kind(here: Path) -> None:
    size, raised = (140_000, 1), ("--limit", "side=200000")
    wide = Image.new("RGBA", size, (9, 9, 9, 50))
    wide.putpixel((0, 0), (1, 2, 3, 4))
    kinds = {"a.png": wide, "b.tif": Image.new("1", size), "c.bmp": Image.new("P", size)}
    kinds["d.png"] = Image.new("I;16", size)
    for name, image in kinds.items():
        image.save(here / name)
    done = said("compress", *kinds, "--lossless", *raised)
    assert done.exit_code == 0, done.output
    assert said("decompress", "a.lic", "b.lic", "c.lic", "d.lic", "-o", "out/", *raised).exit_code == 0
    assert said("run", "lossless", "b.tif", *raised).exit_code == 0


def test_alpha_has_no_limit_of_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.arange(10_000, dtype=np.uint16).reshape(100, 100) // 50
    data, deep = alpha.encode(plane.astype(np.uint8)), alpha.encode(plane)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(alpha.decode(data, 100, 100, 8), plane)
        assert np.array_equal(alpha.decode(deep, 100, 100, 16), plane)
        noise = np.random.default_rng(0).integers(0, 9, (50, 50, 3)).astype(np.uint8)
        assert licframe.read(licframe.load("lossless").compress(noise)).size == (50, 50)
        licframe.Picture(plane.astype(np.uint8), {"exif": b"MM\0*\0\0\0\x08\0\0"}).encode(".png")


def test_sources_of_every_kind(here: Path, codec: LatentCodec) -> None:
    data, file = (here / "in.png").read_bytes(), codec.compress(here / "in.png")
    (here / "b.lic").write_bytes(file)
    for source in ("in.png", here / "in.png", data, bytearray(data), memoryview(data), io.BytesIO(data)):
        assert codec.compress(source) == file
    with (here / "in.png").open("rb") as stream:
        assert codec.compress(stream) == file
    for source in ("b.lic", here / "b.lic", file, bytearray(file), memoryview(file), io.BytesIO(file)):
        assert licframe.decompress(source).size == (16, 16)
    assert codec.decompress(io.BytesIO(file)).size == (16, 16)
    for nothing in (None, [1, 2], 7):
        with pytest.raises(ImageError, match="give a path, bytes or an open stream of a picture file"):
            codec.compress(nothing)
        with pytest.raises(FileError, match="give a path, bytes, or an open stream"):
            licframe.decompress(nothing)


@pytest.mark.parametrize("quality", [50, 50.0, np.int64(50), np.uint8(50), np.float32(50)])
def test_a_whole_number_of_any_type_is_a_quality(codec: LatentCodec, quality: float) -> None:
    assert licframe.Target(quality=quality) == licframe.Target(quality=50)
    assert type(licframe.Target(size=quality).size) is int


@pytest.mark.parametrize("quality", [True, np.True_, "50", math.nan, math.inf, [50]])
def test_what_is_no_number_is_no_quality(quality: object) -> None:
    with pytest.raises(UsageError, match="must be a number"):
        licframe.Target(quality=quality)


def test_metadata_of_another_type_are_refused() -> None:
    for options in ({"exif": "text"}, {"icc_profile": 7}, {"xmp": [b"x"]}):
        with pytest.raises(UsageError, match=f"{next(iter(options))} is .*; give bytes") as caught:
            Image.new("L", (8, 8)).save(io.BytesIO(), "LIC", profile="tiny", **options)
        assert isinstance(caught.value, OSError)


def test_a_missing_file_is_also_pillows_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        licframe.open(tmp_path / "none.lic")
    assert isinstance(caught.value, FileError)


def test_json_has_no_infinity(tmp_path: Path) -> None:
    assert (
        to_json({"a": [math.inf, -math.inf], "b": (math.nan, 1.5)})
        == '{"a": [null, null], "b": [null, 1.5]}'
    )
    equal = Results("a", "profile", "1", "b", curve=(Mean(2.0, math.inf),))
    results.save(equal, tmp_path / "a.json")
    assert "Infinity" not in (tmp_path / "a.json").read_text()
    assert results.load(tmp_path / "a.json") == equal


def test_a_pdf_is_written_of_what_has_metadata(here: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    Image.new("RGB", (16, 16)).save(here / "tags.png", exif=exif.tobytes())
    assert said("compress", "tags.png", "--lossless").exit_code == 0
    with pytest.warns(licframe.errors.LicframeWarning, match="exif"):
        assert said("decompress", "tags.lic", "-o", "tags.pdf", "-q", "90").exit_code == 0
    assert (here / "tags.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_is_written_fast_or_small(depth: int) -> None:
    ramp = np.arange(200 * 200, dtype=np.uint32).reshape(200, 200)
    samples = (ramp % 251).astype(np.uint8) if depth == 8 else (ramp * 7 % 65521).astype(np.uint16)
    picture = Picture(samples)
    fast, small = (picture.encode(".png", small=small) for small in (False, True))

    assert len(small) < len(fast)
    assert all(np.array_equal(read_picture(data).pixels, samples) for data in (fast, small))


TABLE = ["name", "bytes", "what"], [["a", "17", "one short word"], ["bcd", "4", "words " * 20 + "end"]]


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Return what a table looks like in a terminal of some width."""

    def shown(width: int, *table, **kwargs) -> list[str]:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((width, 24)))
        print_table("title", *table, **kwargs)
        return capsys.readouterr().out.splitlines()

    return shown


def test_tables_fit_into_a_terminal(terminal) -> None:
    lines = terminal(80, *TABLE, note="a note " * 15 + "\nanother")

    assert lines[:4] == ["title", "name  bytes  what", "a     17     one short word", lines[3]]
    assert lines[3].startswith("bcd   4      words words ")
    assert lines[4].startswith(" " * 13 + "words")
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "another"
    assert "".join(lines).count("words") == 20


def test_text_of_a_table_stands_below_where_there_is_no_room(terminal) -> None:
    lines = terminal(30, *TABLE)

    assert lines[1:5] == ["name  bytes", "    what", "a     17", "    one short word"]
    assert max(map(len, lines)) <= 30
    assert "".join(lines).count("words") == 20


def test_tables_in_a_pipe_have_one_line_a_row(capsys) -> None:
    print_table("title", *TABLE)

    assert len(capsys.readouterr().out.splitlines()) == 4
