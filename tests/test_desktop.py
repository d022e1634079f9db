"""What desktops are given: a type for .lic files, and a thumbnailer. ``share`` holds both."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

import licframe.pillow
from licframe.bitstream import container
from licframe.codec.latent import LatentCodec
from licframe.codec.target import Target
from licframe.picture.images import Picture

SHARE = Path(__file__).parent.parent / "share"
TYPE = SHARE / "mime" / "packages" / "licframe.xml"


def test_the_type_is_that_of_the_files() -> None:
    names = {"m": "http://www.freedesktop.org/standards/shared-mime-info"}
    (kind,) = ET.parse(TYPE).getroot().findall("m:mime-type", names)
    match = kind.find("m:magic/m:match", names)
    glob = kind.find("m:glob", names)

    assert kind.get("type") == licframe.pillow.MIME
    assert match.get("value").encode().decode("unicode_escape").encode("latin-1") == container.MAGIC
    assert glob.get("pattern") == f"*{licframe.pillow.SUFFIX}"


@pytest.mark.skipif(
    shutil.which("update-mime-database") is None, reason="shared-mime-info is not installed"
)
def test_desktops_can_read_the_type(tmp_path: Path) -> None:
    shutil.copytree(SHARE / "mime", tmp_path / "mime")
    subprocess.run(["update-mime-database", str(tmp_path / "mime")], check=True)

    assert "50:image/x-lic:*.lic\n" in (tmp_path / "mime" / "globs2").read_text()
    assert container.MAGIC in (tmp_path / "mime" / "magic").read_bytes()


@pytest.mark.slow
def test_the_thumbnailer_makes_a_thumbnail(codec: LatentCodec, picture: Picture, tmp_path: Path) -> None:
    (tmp_path / "a.lic").write_bytes(codec.encode(picture, Target(quality=50)).data)
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read(SHARE / "thumbnailers" / "licframe.thumbnailer")
    entry = parser["Thumbnailer Entry"]
    given = {
        "%i": str(tmp_path / "a.lic"),
        "%o": str(tmp_path / "made"),
        "%s": "64",
        "python3": sys.executable,
    }
    done = subprocess.run(
        [given.get(word, word) for word in shlex.split(entry["Exec"])],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert entry["MimeType"] == f"{licframe.pillow.MIME};"
    with Image.open(tmp_path / "made") as made:
        assert made.format == "PNG"
        assert max(made.size) == 64
