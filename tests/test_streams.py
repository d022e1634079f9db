"""Shell manners: standard streams, globs, several inputs, notes, what is left after a failure."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import attrs
import numpy as np
import pytest
from PIL import Image

from licframe import cli
from licframe.bitstream import container
from licframe.codec.latent import LatentCodec
from licframe.codec.target import Target
from licframe.picture.images import Picture, read_picture


@pytest.fixture
def call(tmp_path: Path, monkeypatch, capfdbinary):
    """Run a command in this process; return its exit code and what it printed, as bytes."""

    def run(*args: object, stdin: bytes = b"") -> SimpleNamespace:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["licframe", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.MonkeyPatch.context() as patch:
            import warnings

            patch.setattr(warnings, "showwarning", warnings.showwarning)
            with warnings.catch_warnings():
                warnings.simplefilter("default")
                try:
                    cli.main()
                    code = 0
                except SystemExit as end:
                    code = end.code or 0
        said = capfdbinary.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err.decode())

    return run


@pytest.fixture
def lic(codec: LatentCodec, picture: Picture) -> bytes:
    whole = attrs.evolve(picture, metadata={"exif": b"exif!"})
    return codec.encode(whole, Target(quality=50)).data


def test_standard_input_and_output(call, picture: Picture, codec: LatentCodec) -> None:
    made = call("compress", "-", "-p", "tiny", "-q", 30, stdin=picture.encode(".png"))
    assert made.code == 0
    assert "quality 30" in made.err
    assert codec.decode(made.out).picture.size == picture.size
    shown = call("decompress", "-", "--quiet", stdin=made.out)
    assert shown.err == ""
    assert np.array_equal(read_picture(shown.out).pixels, codec.decode(made.out).picture.pixels)
    assert b"quality" in call("info", "-", stdin=made.out).out
    assert call("verify", "-", stdin=made.out).out == b"-: sound\n"


def test_a_file_from_standard_input(call, picture: Picture, tmp_path: Path) -> None:
    assert call("compress", "-", "-p", "tiny", "-o", "x.lic", stdin=picture.encode(".png")).code == 0
    assert call("compress", "-", "-p", "tiny", "-o", "folder", stdin=picture.encode(".png")).code == 0
    assert (tmp_path / "x.lic").read_bytes() == (tmp_path / "folder" / "stdin.lic").read_bytes()
    assert container.read(call("compress", "-", "-p", "tiny", "-o", "-", stdin=picture.encode(".png")).out)


def test_patterns_are_expanded(call, picture: Picture, tmp_path: Path) -> None:
    for name in "ab":
        picture.save(tmp_path / f"{name}.png")
    done = call("compress", "*.png", "-p", "tiny", "-o", "out", "--json")
    assert [record["file"] for record in json.loads(done.out)] == ["out/a.lic", "out/b.lic"]
    none = call("compress", "*.tif", "-p", "tiny")
    assert (none.code, none.err) == (10, "licframe: no file fits the pattern *.tif\n")


def test_one_bad_input_does_not_stop_the_others(call, lic: bytes, tmp_path: Path) -> None:
    for name, data in (("a", lic), ("b", lic[:-3]), ("c", lic)):
        (tmp_path / f"{name}.lic").write_bytes(data)
    done = call("decompress", "a.lic", "b.lic", "c.lic", "-o", "out")
    assert done.code == 4
    assert done.err.startswith("licframe: b.lic: the .lic file is damaged")
    assert done.err.count("\n") == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    checked = call("verify", "a.lic", "b.lic", "--json")
    assert checked.code == 4
    assert [record["sound"] for record in json.loads(checked.out)] == [True, False]
    assert "damaged" in json.loads(checked.out)[1]["error"]


def test_verify_decodes_the_symbols(call, lic: bytes, tmp_path: Path) -> None:
    """A payload that was exchanged with its checksum in order is found by the digest."""
    file = container.read(lic)
    ((payload, digest),) = file.payloads
    forged = attrs.evolve(file, payloads=((payload, digest ^ 1),))
    (tmp_path / "a.lic").write_bytes(container.write(forged))
    done = call("verify", "a.lic")
    assert done.code == 4
    assert "digest" in done.err


def test_best_effort_and_strip(call, lic: bytes, picture: Picture, tmp_path: Path) -> None:
    (tmp_path / "a.lic").write_bytes(lic.replace(b"exif!", b"EXIF!"))
    assert call("decompress", "a.lic").code == 4
    done = call("decompress", "a.lic", "--best-effort")
    assert done.code == 0
    assert b"are damaged" in done.out
    attrs.evolve(picture, metadata={"xmp": b"<x/>"}).save(tmp_path / "b.png")
    assert call("compress", "b.png", "-p", "tiny", "--strip").code == 0
    assert container.read((tmp_path / "b.lic").read_bytes()).metadata == {}


def test_notes_are_said_once_and_can_be_silenced(call, tmp_path: Path) -> None:
    Image.new("CMYK", (20, 20), (10, 20, 30, 40)).save(tmp_path / "a.tif")
    done = call("compress", "a.tif", "-p", "tiny")
    assert done.code == 0
    assert done.err == "licframe: note: a.tif is CMYK and was converted to RGB\n"
    assert call("compress", "a.tif", "-p", "tiny", "--overwrite", "--quiet").err == ""
    exists = call("compress", "a.tif", "-p", "tiny", "--no-overwrite")
    assert (exists.code, exists.err.count("\n")) == (10, 1)


def test_limits_are_options(call, picture: Picture, lic: bytes, tmp_path: Path) -> None:
    picture.save(tmp_path / "b.png")
    (tmp_path / "a.lic").write_bytes(lic)
    for command in (("compress", "b.png"), ("decompress", "a.lic"), ("verify", "a.lic"), ("info", "a.lic")):
        done = call(*command, "--limit", "side=50")
        assert done.code == 7
        assert "--limit side=" in done.err
    assert "--limit seconds=" in call("verify", "a.lic", "--limit", "seconds=1e-9").err
    assert "known limits" in call("info", "a.lic", "--limit", "sides=50").err


def test_completion_knows_the_profiles() -> None:
    from licframe.cli.options import profile_names

    assert {"tiny", "balanced", "max_quality"} <= set(profile_names())
