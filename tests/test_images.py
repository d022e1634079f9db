"""Pictures: what is read is what was written; what is converted is said; what is refused has a way out."""

from __future__ import annotations

import io
from pathlib import Path

import attrs
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from licframe.errors import FileError, ImageError, LicframeWarning, LimitError, UsageError
from licframe.picture.images import Picture, as_picture, from_array, from_pil, read_picture
from licframe.runtime.atomic import read_file, write_atomically
from licframe.runtime.limits import Limits

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'


def samples(*shape: int, depth: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**depth, shape).astype(f"u{depth // 8}")


def exif(**tags: int) -> bytes:
    made = Image.Exif()
    made[0x010F] = "maker"
    for name, value in tags.items():
        made[{"orientation": 0x0112}[name]] = value
    return made.tobytes()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7), (5, 7, 4), (5, 7, 2), (1, 1, 3), (1, 1)])
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_round_trip(tmp_path: Path, shape: tuple[int, ...], suffix: str, depth: int) -> None:
    pixels = samples(*shape, depth=depth)
    picture = from_array(pixels)
    path = tmp_path / f"a{suffix}"
    planes = shape[2] if len(shape) == 3 else 1
    if planes in (2, 4) and (suffix == ".ppm" or (suffix == ".tiff" and planes == 2 and depth == 16)):
        with pytest.raises(ImageError, match=r"use \.png"):
            picture.save(path)
        assert not list(tmp_path.iterdir())
        return
    picture.save(path)
    found = read_picture(path)

    assert (found.mode, found.depth) == (picture.mode, depth)
    assert np.array_equal(found.samples, pixels)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".jpg"])
def test_metadata_travels(tmp_path: Path, suffix: str, depth: int) -> None:
    metadata = {"icc": ICC, "exif": exif(), "xmp": XMP}
    picture = Picture(samples(4, 4, 3, depth=depth), metadata)
    if (suffix, depth) == (".tiff", 16):  # libvips writes no EXIF there
        with pytest.warns(LicframeWarning, match="does not hold exif"):
            picture.save(tmp_path / "a.tiff")
        assert read_picture(tmp_path / "a.tiff").metadata == {"icc": ICC, "xmp": XMP}
        return
    if depth == 16 and suffix == ".jpg":
        with pytest.raises(ImageError, match="16 bits"):
            picture.save(tmp_path / "a.jpg")
        return
    picture.save(tmp_path / f"a{suffix}")
    found = read_picture(tmp_path / f"a{suffix}").metadata

    assert found["icc"] == ICC
    assert found["xmp"] == XMP
    assert found["exif"] == metadata["exif"]


def test_metadata_that_a_format_cannot_hold_is_named() -> None:
    with pytest.warns(LicframeWarning, match=r"does not hold exif; a \.png would"):
        Picture(samples(4, 4, 3), {"exif": exif()}).encode(".ppm")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", [8, 16])
def test_pictures_stand_upright(orientation: int, depth: int) -> None:
    pixels = samples(5, 7, 3, depth=depth)
    xmp = b'<x tiff:Orientation="%d"/>' % orientation
    data = Picture(pixels, {"exif": exif(orientation=orientation), "xmp": xmp}).encode(".png")
    found = read_picture(data)
    again = read_picture(found.encode(".png"))

    if depth == 8:
        assert np.array_equal(found.pixels, ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert found.size == ((7, 5) if orientation < 5 else (5, 7))
    assert np.array_equal(again.pixels, found.pixels)
    assert b"maker" in found.metadata["exif"]
    assert from_pil(found.to_8_bit().to_pil()).size == found.size


def test_unreadable_exif_is_left_out_and_said() -> None:
    image = Image.new("L", (4, 4))
    image.info.update(exif=b"Exif\0\0nonsense", icc_profile=ICC)
    with pytest.warns(LicframeWarning, match="unreadable EXIF"):
        assert from_pil(image).metadata == {"icc": ICC}


@pytest.mark.parametrize(
    ("mode", "shown"),
    [("1", "L"), ("P", "RGB"), ("PA", "RGBA"), ("La", "LA"), ("RGBa", "RGBA"), ("RGBX", "RGB")],
)
def test_modes_that_another_holds(mode: str, shown: str) -> None:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (6, 5, 3)).astype(np.uint8))
    image = image.convert({"PA": "P", "La": "LA", "RGBa": "RGBA"}.get(mode, mode)).convert(mode)
    picture = as_picture(image)

    assert picture.mode == shown
    assert np.array_equal(
        picture.samples, image.convert("RGBA").convert(shown) if mode == "PA" else image.convert(shown)
    )


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV"])
def test_conversions_are_said(mode: str) -> None:
    image = Image.new(mode, (4, 4), (10, 200, 30, 5)[: len(Image.new(mode, (1, 1)).getbands())])
    with pytest.warns(LicframeWarning, match=f"is {mode} and was converted to RGB"):
        picture = as_picture(image)
    assert np.array_equal(picture.pixels, image.convert("RGB"))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_other_modes_are_refused_with_a_way_out(mode: str) -> None:
    with pytest.raises(ImageError, match="convert"):
        as_picture(Image.new(mode, (4, 4)))


@pytest.mark.parametrize(("mode", "key"), [("RGB", (1, 2, 3)), ("L", 7), ("P", 3)])
def test_transparent_colours_become_alpha(mode: str, key: object) -> None:
    image = Image.new(mode, (4, 4), key)
    image.putpixel((0, 0), 9 if mode != "RGB" else (9, 9, 9))
    buffer = io.BytesIO()
    if mode == "P":
        image.putpalette(list(range(30)))
    image.save(buffer, "PNG", transparency=bytes([255] * key + [0]) if mode == "P" else key)
    picture = read_picture(buffer.getvalue())

    assert picture.mode == ("LA" if mode == "L" else "RGBA")
    assert picture.alpha.tolist() == [[255, 0, 0, 0]] + [[0] * 4] * 3


def animation() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def test_animation_is_refused_or_its_first_frame_taken() -> None:
    with pytest.raises(ImageError, match=r"2 frames.*--first-frame"):
        read_picture(animation())
    assert read_picture(animation(), first_frame=True).pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("largest", [65535, 1023, 256])
def test_pnm_of_other_depths(largest: int) -> None:
    values = np.array([0, 1, largest // 2, largest, 5, 6])
    body = values.astype(">u2").tobytes()
    rgb = read_picture(b"P6 # made by hand\n2 1\n%d\n" % largest + body)
    grey = read_picture(b"P5 3 2 %d\n" % largest + body)

    expected = (values * 65535 + largest // 2) // largest
    assert rgb.pixels.ravel().tolist() == expected.tolist() == grey.pixels.ravel().tolist()
    assert (rgb.size, grey.size, rgb.depth, grey.depth) == ((2, 1), (3, 2), 16, 16)
    with pytest.raises(ImageError, match="complete"):
        read_picture(b"P6 2 1 %d\n" % largest + body[:-1])


def test_pillow_gets_what_it_has_modes_for() -> None:
    for shape, depth in (((3, 4), 8), ((3, 4, 4), 8), ((3, 4), 16)):
        pixels = samples(*shape, depth=depth)
        assert np.array_equal(np.asarray(from_array(pixels).to_pil()), pixels)
    deep = from_array(samples(3, 4, 3, depth=16))
    with pytest.raises(ImageError, match=r"no 16-bit RGB.*to_8_bit"):
        deep.to_pil()
    assert np.abs(deep.to_8_bit().pixels - deep.pixels / 257).max() <= 0.5


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 5), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros(4, np.uint8)]
)
def test_arrays_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="uint8"):
        as_picture(array)


def test_arrays_of_one_plane_and_of_another_byte_order() -> None:
    pixels = samples(4, 5, 1, depth=16)
    for array in (pixels, pixels[..., 0], pixels.astype(">u2")):
        picture = as_picture(array)
        assert (picture.mode, picture.pixels.dtype.isnative) == ("L", True)
        assert np.array_equal(picture.pixels, pixels[..., 0])


@pytest.mark.parametrize("source", [bytes, bytearray, memoryview, io.BytesIO])
def test_files_in_memory(source: type) -> None:
    pixels = samples(4, 5, 3)
    assert np.array_equal(as_picture(source(from_array(pixels).encode(".png"))).pixels, pixels)


@pytest.mark.parametrize(
    ("suffix", "least"), [(".jpg", 38), (".avif", 38), (".webp", np.inf), (".png", np.inf)]
)
def test_formats_with_loss_keep_high_quality(suffix: str, least: float) -> None:
    y, x = np.mgrid[:64, :64]
    pixels = np.dstack([128 + 100 * np.sin(x / 5), 128 + 100 * np.cos(y / 4), 2 * (x + y)]).astype(np.uint8)
    picture = from_array(pixels)
    data = picture.encode(suffix)
    assert picture.psnr(read_picture(data).pixels) >= least
    if suffix != ".png":
        assert len(picture.encode(suffix, quality=30)) < len(data)
        with pytest.raises(UsageError, match="0 to 100"):
            picture.encode(suffix, quality=101)
    else:
        with pytest.raises(UsageError, match="other kinds none"):
            picture.encode(suffix, quality=30)


@pytest.mark.parametrize("suffix", [".ico", ".icns"])
def test_icons_are_refused(suffix: str) -> None:
    with pytest.raises(ImageError, match="fixed sizes"):
        from_array(samples(40, 50, 3)).encode(suffix)


def test_alpha_is_never_dropped_on_the_way_out() -> None:
    for suffix in (".bmp", ".jpg", ".ppm"):
        with pytest.raises(ImageError, match=r"use \.png"):
            from_array(samples(8, 8, 4)).encode(suffix)


def test_what_pillow_does_not_read_again_is_written_all_the_same() -> None:
    with pytest.warns(LicframeWarning, match="does not hold icc"):
        assert Picture(samples(8, 8, 3), {"icc": ICC}).encode(".pdf").startswith(b"%PDF")


def test_empty_and_huge_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="empty"):
        from_array(np.zeros((0, 4, 3), np.uint8))
    Image.new("L", (100, 90)).save(tmp_path / "a.png")
    for limits, said in (
        (Limits(pixels=8999), "--limit pixels=9000"),
        (Limits(side=99), "--limit side=100"),
        (Limits(memory=10**6), "--limit memory="),
    ):
        with pytest.raises(LimitError, match=said):
            read_picture(tmp_path / "a.png", limits)


@pytest.mark.parametrize("memory", [10**6, 2**30, 2**33, 2**34 + 7])
def test_memory_and_pixels_are_one_estimate(memory: int) -> None:
    """What a machine's memory allows takes no more than that, and a thousandth more would; in tiles it takes less."""
    limits = Limits(pixels=2**62, memory=memory)
    most = limits.most_pixels

    assert limits.memory_for(most) <= memory < limits.memory_for(most + most // 1000 + 1)
    assert limits.memory_for(2**24) == limits.memory_for(2**24, tiled=False)
    assert limits.memory_for(2**26) < limits.memory_for(2**26, tiled=False) // 2


def test_limits_from_texts() -> None:
    limits = Limits().with_settings(["pixels=5e8", "memory=2G", "seconds=0.5"])
    assert (limits.pixels, limits.memory, limits.seconds) == (5 * 10**8, 2 * 2**30, 0.5)
    for text, said in (
        ("width=3", "known limits are pixels"),
        ("side=", "positive"),
        ("side=-1", "positive"),
    ):
        with pytest.raises(UsageError, match=said):
            Limits().with_settings([text])


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)

    with pytest.raises(ImageError, match=r"a\.png"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("depth", [8, 16])
def test_truncated_picture_is_refused(tmp_path: Path, depth: int) -> None:
    data = from_array(samples(64, 64, 3, depth=depth)).encode(".png")
    (tmp_path / "a.png").write_bytes(data[:3000])

    with pytest.raises(ImageError, match="complete"):
        read_picture(tmp_path / "a.png")


def test_pillows_own_limit_stays_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    read_picture(from_array(samples(4, 4)).encode(".png"))
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("profile", [ICC, b"no profile"])
def test_cmyk_with_a_profile_that_does_not_fit(profile: bytes) -> None:
    image = Image.new("CMYK", (4, 4), (10, 20, 30, 40))
    image.info["icc_profile"] = profile  # of another colour space
    with pytest.warns(LicframeWarning, match="without its ICC profile, which does not fit") as notes:
        picture = as_picture(image)
    assert len(notes) == 1
    assert np.array_equal(picture.pixels, image.convert("RGB"))
    assert not picture.metadata


def test_what_codecs_are_compared_on() -> None:
    picture = attrs.evolve(from_array(samples(3, 4, 2, depth=16)), metadata={"xmp": XMP})
    plain = picture.to_rgb()
    assert (plain.mode, plain.depth, plain.metadata) == ("RGB", 8, {})
    assert np.array_equal(plain.pixels[..., 0], picture.to_8_bit().pixels)


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="cannot write"):
        write_atomically(tmp_path / "file" / "a.lic", b"data")
    with pytest.raises(ImageError, match="suffix"):
        from_array(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.xyz")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(FileError, match="cannot read"):
        read_file(tmp_path / "a")


def test_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "a.lic").write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.lic", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.lic"]
    assert (tmp_path / "a.lic").read_bytes() == b"old"
