"""Pillow opens and saves .lic files after one import."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import licframe
import licframe.pillow
from licframe.codec.latent import LatentCodec
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, UsageError
from licframe.picture.images import Picture, from_array

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.slow
def test_open_knows_size_and_mode_without_networks(
    codec: LatentCodec, picture: Picture, tmp_path: Path
) -> None:
    (tmp_path / "a.lic").write_bytes(codec.encode(picture, Target(quality=70)).data)
    code = (
        "import sys, licframe.pillow; from PIL import Image; image = Image.open('a.lic')\n"
        "print(image.size, image.mode, image.format, image.get_format_mimetype(), image.info['quality'])\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "image.load(); assert 'torch' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{picture.size} RGB LIC image/x-lic 70"


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA", "I;16"])
def test_save_and_open(picture: Picture, tmp_path: Path, codec: LatentCodec, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(picture.pixels[..., 0] * np.uint16(257))
    else:
        image = Image.fromarray(picture.pixels).convert(mode)
    image.save(tmp_path / "a.lic", quality=80, profile="tiny", icc_profile=ICC)
    with Image.open(tmp_path / "a.lic") as found:
        assert (found.mode, found.size, found.info["icc_profile"]) == (mode, image.size, ICC)
        decoded = codec.decode((tmp_path / "a.lic").read_bytes()).picture
        assert np.array_equal(np.asarray(found), decoded.samples)
        assert found.resize((8, 8)).size == (8, 8)


def test_streams(picture: Picture, codec: LatentCodec) -> None:
    buffer = io.BytesIO()
    picture.to_pil().save(buffer, "LIC", size=2000, profile="tiny")
    assert len(buffer.getvalue()) <= 2000
    buffer.seek(0)
    assert Image.open(buffer).getpixel((0, 0)) == tuple(
        codec.decode(buffer.getvalue()).picture.pixels[0, 0].tolist()
    )


def test_deep_colour_is_shown_in_8_bits(codec: LatentCodec, picture: Picture) -> None:
    deep = from_array(picture.pixels * np.uint16(257))
    data = codec.encode(deep, Target(quality=50)).data
    shown = Image.open(io.BytesIO(data))

    assert shown.mode == "RGB"
    assert np.array_equal(np.asarray(shown), licframe.read(data).to_8_bit().pixels)
    assert licframe.read(data).depth == 16


def test_damage_and_wrong_options_are_named(codec: LatentCodec, picture: Picture, tmp_path: Path) -> None:
    data = bytearray(codec.encode(picture, Target(quality=50)).data)
    data[-9] ^= 1
    with pytest.raises(CorruptStreamError, match="checksum"):
        Image.open(io.BytesIO(data))
    with pytest.raises(UsageError, match="quality is 200"):
        picture.to_pil().save(tmp_path / "a.lic", quality=200, profile="tiny")


@pytest.mark.slow
def test_threads_share_an_opened_image(codec: LatentCodec, picture: Picture) -> None:
    data = codec.encode(picture, Target(quality=30)).data
    for _ in range(3):
        image = licframe.open(data)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _, image=image: image.convert("RGB").tobytes(), range(8)))
        assert len(set(found)) == 1
