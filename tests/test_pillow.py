"""Pillow opens and saves .lic files after one import."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

import licframe
import licframe.pillow
from licframe.codec.latent import LatentCodec
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, LicframeWarning, UsageError
from licframe.picture.images import Picture, from_array
from tests.files import tiff

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
    with pytest.raises(CorruptStreamError, match="checksum") as caught:
        Image.open(io.BytesIO(data))
    assert isinstance(caught.value, OSError)
    with pytest.raises(UnidentifiedImageError, match=r"not a \.lic file"):
        licframe.open(b"something else")
    with pytest.raises(UsageError, match="quality is 200") as refused:
        picture.to_pil().save(tmp_path / "a.lic", quality=200, profile="tiny")
    assert isinstance(refused.value, OSError)


def photograph(orientation: int = 6) -> Image.Image:
    """Return an opened JPEG file of 64x48 pixels, top half white, with EXIF, ICC and XMP."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24] = 255
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "maker", orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=tags, icc_profile=ICC, xmp=b"<x/>")
    return Image.open(buffer)


def stored(image: Image.Image, **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "LIC", profile="tiny", **options)
    return Image.open(buffer)


def looks_like(image: Image.Image, other: Image.Image) -> bool:
    """Say whether viewers show the same, but for coding."""
    one, two = (np.asarray(ImageOps.exif_transpose(i).convert("L")).astype(int) for i in (image, other))
    return one.shape == two.shape and np.abs(one - two).mean() < 30


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pictures_are_turned_once(orientation: int) -> None:
    image = photograph(orientation)
    copy = image.convert("RGB").resize((64, 48))
    for found in (
        stored(image),
        stored(image, exif=image.getexif()),
        stored(image, exif=image.info["exif"]),
        stored(copy, exif=image.getexif()),
    ):
        assert looks_like(found, image)
        assert found.getexif()[0x010F] == "maker"
        assert found.getexif().get(0x0112, 1) == 1


def test_a_picture_that_was_turned_by_hand_is_not_turned_again() -> None:
    image = photograph().transpose(Image.Transpose.ROTATE_270)
    assert image.info["exif"]
    with pytest.warns(LicframeWarning, match="they are taken as they stand"):
        found = stored(image)
    assert found.size == image.size == (48, 64)
    assert dict(found.getexif()) == {0x010F: "maker"}


@pytest.mark.parametrize("nothing", [b"", None, Image.Exif()])
def test_metadata_are_left_out_when_asked(nothing: object) -> None:
    image = photograph()
    found = stored(image, exif=nothing)
    assert (found.size, dict(found.getexif())) == ((48, 64), {})
    assert found.info["icc_profile"] == ICC
    if nothing != Image.Exif():
        found = stored(photograph(), exif=nothing, icc_profile=nothing, xmp=nothing)
        assert not {"exif", "icc_profile", "xmp"} & found.info.keys()


def test_xmp_may_be_text() -> None:
    assert stored(photograph(), xmp="<y/>").info["xmp"] == b"<y/>"


def test_deep_files_keep_their_bits_through_pillow(tmp_path: Path) -> None:
    pixels = np.arange(32 * 32 * 3, dtype=np.uint16).reshape(32, 32, 3) * np.uint16(21)
    (tmp_path / "a.tiff").write_bytes(tiff(pixels, 2, planar=True))
    with Image.open(tmp_path / "a.tiff") as image:
        image.save(tmp_path / "a.lic", profile="tiny", quality=100)
    found = licframe.read(tmp_path / "a.lic")
    assert (found.mode, found.depth) == ("RGB", 16)
    assert abs(found.pixels.mean() - pixels.mean()) < 1000


@pytest.mark.slow
def test_threads_share_an_opened_image(codec: LatentCodec, picture: Picture) -> None:
    data = codec.encode(picture, Target(quality=30)).data
    for _ in range(3):
        image = licframe.open(data)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _, image=image: image.convert("RGB").tobytes(), range(8)))
        assert len(set(found)) == 1
