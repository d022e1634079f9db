"""Real files: read as their own tags say, by whichever door, with one note at most and no error but ours."""

from __future__ import annotations

import io
import struct
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from licframe.errors import ImageError, LicframeWarning, LimitError
from licframe.picture.images import Picture, as_picture, from_array, read_picture
from licframe.runtime.limits import Limits
from tests.files import tiff, with_chunks

GREY, RGB, CMYK, WHITE_IS_0 = 1, 2, 5, 0
ALPHA, PREMULTIPLIED, UNSAID = 2, 1, 0


def samples(*shape: int, depth: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**depth, shape).astype(f"u{depth // 8}")


def png(*shape: int, mode: str | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples(*shape, depth=8)).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def notes(*expected: str) -> Iterator[None]:
    """Expect these notes, and no other warning of any kind."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert [w.category for w in caught] == [LicframeWarning] * len(expected), [
        str(w.message) for w in caught
    ]
    for text, warning in zip(expected, caught, strict=True):
        assert text in str(warning.message)


def gone(data: bytes) -> Image.Image:
    """Return an image that Pillow has loaded from a stream that is closed by now."""
    with io.BytesIO(data) as stream:
        image = Image.open(stream)
        image.load()
    return image


def by_all_doors(data: bytes, tmp_path: Path, *said: str) -> Picture:
    """Read a file by path, bytes and ``Image.open``, before Pillow has loaded it and after; all agree."""
    path = tmp_path / "a.file"
    path.write_bytes(data)
    loaded = [Image.open(path), Image.open(io.BytesIO(data))]
    for image in loaded:
        image.load()
    found = []
    for source in (path, data, Image.open(path), Image.open(io.BytesIO(data)), *loaded):
        with notes(*said):
            found.append(as_picture(source))
    for other in found[1:]:
        assert (other.mode, other.depth, other.metadata) == (
            found[0].mode,
            found[0].depth,
            found[0].metadata,
        )
        assert np.array_equal(other.samples, found[0].samples)
    return found[0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_rgb_tiff(tmp_path: Path, planar: bool, order: str, depth: int) -> None:
    pixels = samples(4, 5, 3, depth=depth)
    picture = by_all_doors(tiff(pixels, RGB, planar=planar, order=order), tmp_path)
    assert (picture.mode, picture.depth) == ("RGB", depth)
    assert np.array_equal(picture.pixels, pixels)


def test_planar_tiff_that_pillow_has_misread_is_refused() -> None:
    image = gone(tiff(samples(4, 5, 3), RGB, planar=True))
    with pytest.raises(ImageError, match="misreads; give its path or its bytes"):
        as_picture(image)


@pytest.mark.parametrize("depth", [8, 16])
def test_white_is_zero(tmp_path: Path, depth: int) -> None:
    pixels = samples(4, 5, depth=depth)
    picture = by_all_doors(tiff(pixels, WHITE_IS_0), tmp_path)
    assert np.array_equal(picture.pixels, 2**depth - 1 - pixels)


def test_white_is_zero_of_a_stream_that_is_gone() -> None:
    pixels = samples(4, 5)
    image = gone(tiff(pixels, WHITE_IS_0))
    assert np.array_equal(as_picture(image).pixels, 65535 - pixels)


@pytest.mark.parametrize("depth", [8, 16])
def test_extra_samples_are_alpha_if_they_say_so(tmp_path: Path, depth: int) -> None:
    pixels = samples(4, 5, 4, depth=depth)
    with_alpha = by_all_doors(tiff(pixels, RGB, [ALPHA]), tmp_path)
    without = by_all_doors(tiff(pixels, RGB, [UNSAID]), tmp_path, "extra samples that are not alpha")

    assert np.array_equal(with_alpha.samples, pixels)
    assert (without.mode, without.depth) == ("RGB", depth)
    assert np.array_equal(without.pixels, pixels[..., :3])


@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_and_alpha_that_pillow_does_not_open(order: str) -> None:
    pixels = samples(4, 5, 2)
    found = read_picture(tiff(pixels, GREY, [ALPHA], order=order, more={700: b"<x/>"}))
    white = read_picture(tiff(pixels, WHITE_IS_0, [ALPHA], order=order))

    assert (found.mode, found.depth, found.metadata) == ("LA", 16, {"xmp": b"<x/>"})
    assert np.array_equal(found.samples, pixels)
    assert np.array_equal(white.pixels, 65535 - pixels[..., 0])
    with notes("extra samples"):
        assert read_picture(tiff(pixels, GREY, [UNSAID], order=order)).mode == "L"
    with pytest.raises(LimitError, match="--limit pixels"):
        read_picture(tiff(pixels, GREY, [ALPHA], order=order), Limits(pixels=19))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("count", [2, 3])
def test_grey_and_alpha_in_planes_of_their_own(depth: int, order: str, count: int) -> None:
    pixels = samples(5, 4, count, depth=depth)
    extra = [ALPHA, UNSAID][: count - 1]
    for rows in (5, 2):
        for photometric, grey in ((GREY, pixels[..., 0]), (WHITE_IS_0, 2**depth - 1 - pixels[..., 0])):
            with notes(*["extra samples"] * (count - 2)):
                found = read_picture(tiff(pixels, photometric, extra, order=order, planar=True, rows=rows))
            assert (found.mode, found.depth) == ("LA", depth)
            assert np.array_equal(found.samples, np.dstack([grey, pixels[..., 1]]))
    with pytest.raises(ImageError, match="multiplied by its alpha"):
        read_picture(tiff(pixels, GREY, [PREMULTIPLIED, UNSAID][: count - 1], order=order, planar=True))


def test_premultiplied_alpha() -> None:
    pixels = np.array([[[100, 200, 300, 1000], [0, 0, 0, 0]]], np.uint16)
    found = read_picture(tiff(pixels, RGB, [PREMULTIPLIED]))
    assert found.samples[0, 0].tolist() == [6553, 13107, 19660, 1000]


def test_deep_cmyk_becomes_rgb_with_a_note(tmp_path: Path) -> None:
    inks = samples(4, 5, 4)
    path = tmp_path / "a.tiff"
    path.write_bytes(tiff(inks, CMYK))
    with notes("is CMYK and was converted to RGB"):
        found = read_picture(path)
    expected = Image.fromarray(np.round(inks / 257).astype(np.uint8), "CMYK").convert("RGB")
    assert np.array_equal(found.samples, expected)


@pytest.mark.parametrize("extra", [[], [ALPHA]])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_profile_of_inks_does_not_outlive_them(depth: int, extra: list[int]) -> None:
    data = tiff(samples(4, 5, 4 + len(extra), depth=depth), CMYK, extra, more={34675: b"a profile"})
    with notes("without its ICC profile, which does not fit"):
        assert not read_picture(data).metadata


def test_grey_with_a_transparent_value(tmp_path: Path) -> None:
    pixels = samples(4, 5)
    data = with_chunks(from_array(pixels).encode(".png"), tRNS=struct.pack(">H", int(pixels[1, 1])))
    picture = by_all_doors(data, tmp_path)
    assert (picture.mode, picture.depth) == ("LA", 16)
    assert np.array_equal(picture.pixels, pixels)
    assert np.array_equal(picture.alpha == 0, pixels == pixels[1, 1])


def test_deep_colour_that_is_transparent() -> None:
    pixels = samples(4, 5, 3)
    key = struct.pack(">HHH", *pixels[1, 1].tolist())
    data = with_chunks(from_array(pixels).encode(".png"), tRNS=key)
    for image, depth in ((Image.open(io.BytesIO(data)), 16), (gone(data), 8)):
        picture = as_picture(image)
        assert picture.depth == depth
        assert np.argwhere(picture.alpha == 0).tolist() == [[1, 1]]


def test_several_pictures_in_a_tiff_that_pillow_does_not_open() -> None:
    data = bytearray(tiff(samples(4, 5, 2), GREY, [ALPHA]))
    start = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, start)[0]
    struct.pack_into("<I", data, start + 2 + 12 * entries, start)
    with pytest.raises(ImageError, match="--first-frame"):
        read_picture(bytes(data))


def test_deep_samples_that_were_changed_are_taken_as_they_are(tmp_path: Path) -> None:
    from_array(samples(4, 5, 3)).save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    image.putpixel((0, 0), (1, 2, 3))
    picture = as_picture(image)
    assert picture.depth == 8
    assert np.array_equal(picture.pixels, image)


@pytest.mark.parametrize("kind", ["PNG", "TGA"])
def test_palettes_with_alpha(kind: str) -> None:
    image = Image.fromarray(samples(8, 8, 4, depth=8)).quantize(32)
    if kind == "TGA":  # with a palette of BGRA
        colours = np.frombuffer(image.palette.getdata()[1], np.uint8).reshape(-1, 4)[:, [2, 1, 0, 3]]
        head = struct.pack("<BBBHHBHHHHBB", 0, 1, 1, 0, len(colours), 32, 0, 0, 8, 8, 8, 0x20)
        data = head + colours.tobytes() + image.tobytes()
        picture = read_picture(data)
    else:
        picture = as_picture(image)
    assert picture.mode == "RGBA"
    assert np.array_equal(picture.samples, image.convert("RGBA"))


@pytest.mark.parametrize("largest", [1, 100, 254, 255])
def test_pnm_of_few_levels(tmp_path: Path, largest: int) -> None:
    values = np.array([0, 1, largest // 2, largest], np.uint8)
    picture = by_all_doors(b"P5 2 2 %d\n" % largest + values.tobytes(), tmp_path)
    assert picture.depth == 8
    assert np.abs(picture.pixels.ravel() - values * 255.0 / largest).max() <= 0.5


P3 = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def shown(picture: Picture) -> np.ndarray:
    """Return pixels as sRGB, by the profile."""
    image = picture.to_pil()
    profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.metadata["icc"]))
    to = ImageCms.createProfile("sRGB")
    found = ImageCms.profileToProfile(image, profile, to, ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB")
    return np.asarray(found)


def one_colour(*colour: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB" if len(colour) == 3 else "L", (2, 2), colour if len(colour) == 3 else colour[0]).save(
        buffer, "PNG"
    )
    return buffer.getvalue()


def test_primaries_and_gamma_become_a_profile(tmp_path: Path) -> None:
    wide = with_chunks(one_colour(0, 128, 0), gAMA=struct.pack(">I", 45455), cHRM=struct.pack(">8I", *P3))
    linear = with_chunks(one_colour(55, 55, 55), gAMA=struct.pack(">I", 100000))
    grey = with_chunks(one_colour(55), gAMA=struct.pack(">I", 100000))

    green = by_all_doors(wide, tmp_path)
    assert shown(green)[0, 0].tolist() == [0, pytest.approx(130, abs=2), 0]  # beyond sRGB
    assert shown(by_all_doors(linear, tmp_path))[0, 0] == pytest.approx(128, abs=1)
    assert shown(by_all_doors(grey, tmp_path))[0, 0] == pytest.approx(128, abs=1)
    assert as_picture(io.BytesIO(green.encode(".png"))).metadata == green.metadata


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": struct.pack(">I", 45455)},
        {"gAMA": struct.pack(">I", 45455), "cHRM": struct.pack(">8I", *SRGB)},
        {"cICP": bytes([1, 13, 0, 1])},
        {"sRGB": b"\0", "cHRM": struct.pack(">8I", *P3)},
    ],
)
def test_what_is_srgb_needs_no_profile(tmp_path: Path, chunks: dict[str, bytes]) -> None:
    assert not by_all_doors(with_chunks(one_colour(1, 2, 3), **chunks), tmp_path).metadata


def test_code_points_become_a_profile_or_a_note(tmp_path: Path) -> None:
    p3 = with_chunks(one_colour(0, 128, 0), cICP=bytes([12, 13, 0, 1]))
    green = shown(by_all_doors(p3, tmp_path))[0, 0]
    assert green.tolist() == [0, pytest.approx(130, abs=2), 0]
    for transfer, name in ((16, "PQ"), (18, "HLG"), (9, "transfer 9")):
        data = with_chunks(one_colour(1, 2, 3), cICP=bytes([9, transfer, 0, 1]))
        with notes(f"CICP {name}, primaries 9"):
            assert not read_picture(data).metadata


def test_senseless_colours_are_left_out_with_a_note() -> None:
    data = with_chunks(
        one_colour(1, 2, 3), cHRM=struct.pack(">8I", *[0] * 8), gAMA=struct.pack(">I", 45455)
    )
    with notes("makes no sense"):
        assert not read_picture(data).metadata


def avif(primaries: int = 1, transfer: int = 13) -> bytes:
    """Return an AVIF file that says of its colours what it is told to."""
    buffer = io.BytesIO()
    Image.fromarray(samples(16, 16, 3, depth=8)).save(buffer, "AVIF")
    data = bytearray(buffer.getvalue())
    place = data.index(b"colrnclx") + 8
    data[place : place + 4] = struct.pack(">HH", primaries, transfer)
    return bytes(data)


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_bits_that_pillow_does_not_read_are_said(depth: int, tmp_path: Path) -> None:
    vips = pytest.importorskip("pyvips")
    image = vips.Image.new_from_array(samples(16, 16, 3), interpretation="rgb16")
    try:
        data = image.heifsave_buffer(compression="av1", bitdepth=depth)
    except vips.Error:
        pytest.skip("this libvips writes no AVIF")
    said = [] if depth == 8 else [f"has {depth} bits a sample"]
    path = tmp_path / "a.avif"
    path.write_bytes(data)
    for source in (path, data, Image.open(path)):
        with notes(*said):
            assert as_picture(source).depth == 8


def test_bits_of_jpeg_2000_are_said() -> None:
    buffer = io.BytesIO()
    Image.fromarray(samples(16, 16, 3, depth=8)).save(buffer, "JPEG2000", no_jp2=True)
    data = bytearray(buffer.getvalue())
    assert data[42] == 7
    data[42] = 11
    with notes("has 12 bits a sample"):
        read_picture(bytes(data))


def test_avif_says_its_colours_as_png_does() -> None:
    with notes("CICP PQ, primaries 9"):
        read_picture(avif(primaries=9, transfer=16))
    with notes():
        assert not read_picture(avif()).metadata
        assert "icc" in read_picture(avif(primaries=12)).metadata


def test_unreadable_metadata_never_refuse_the_picture(tmp_path: Path) -> None:
    text = b"Raw profile type exif\0\nexif\n      20\n4949zz\n"
    with notes("unreadable EXIF, which is left out"):
        assert not read_picture(with_chunks(one_colour(1, 2, 3), tEXt=text)).metadata
    made = Image.Exif()
    made[0x010F] = "a maker with a long name"
    data = bytearray(made.tobytes())
    data[20] = 255  # the text lies beyond the end
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=bytes(data))
    with notes("was read, but is not all right"):
        read_picture(buffer.getvalue())


def test_libtiff_prints_nothing(capfd) -> None:
    buffer = io.BytesIO()
    Image.fromarray(samples(64, 64, 3, depth=8)).save(buffer, "TIFF", compression="tiff_lzw")
    data = bytearray(buffer.getvalue())
    data[200:300] = b"\xff" * 100
    with pytest.raises(ImageError):
        read_picture(bytes(data))
    assert capfd.readouterr() == ("", "")


def gif(width: int, height: int) -> bytes:
    """Return a GIF file of a screen, and a picture of one pixel on it that leaves the background behind."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    control = b"!\xf9\x04\x08\0\0\0\0"
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02D\x01\0"
    return screen + 2 * (control + frame) + b";"


@pytest.mark.parametrize("first_frame", [False, True])
def test_limits_hold_before_anything_is_allocated(first_frame: bool) -> None:
    import tracemalloc

    icon = io.BytesIO()
    Image.new("RGB", (64, 64)).save(icon, "ICO", sizes=[(64, 64)])
    tracemalloc.start()
    begin = time.perf_counter()
    for data, pixels in ((gif(65535, 65535), 10**8), (gif(30000, 30000), 10**8), (png(9, 9), 80)):
        with pytest.raises(LimitError, match="--limit"):
            read_picture(data, Limits(pixels=pixels), first_frame=first_frame)
    assert time.perf_counter() - begin < 1
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    with pytest.raises(LimitError, match="pixels=4096"):
        read_picture(icon.getvalue(), Limits(pixels=4000))


def test_raised_limits_hold_to_the_end(monkeypatch) -> None:
    monkeypatch.setattr("licframe.picture.images.DEFAULT", Limits(pixels=10))
    assert read_picture(png(8, 8), Limits(pixels=64)).size == (8, 8)


@pytest.mark.parametrize(
    "error", [IndexError, KeyError, TypeError, RuntimeError, OverflowError, struct.error]
)
def test_whatever_pillow_raises_is_an_image_error(
    error: type[Exception], monkeypatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise error

    (tmp_path / "a.png").write_bytes(png(8, 8))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", fail)
    with pytest.raises(ImageError, match=f"cannot read .*a.png: .*{error.__name__}|no reason"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(ImageError), Image.open(tmp_path / "a.png") as image:
        as_picture(image)


def test_memory_that_is_not_there_is_a_limit(monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", fail)
    with pytest.raises(LimitError, match="more memory"):
        read_picture(png(8, 8))


def test_tags_of_tiff_describe_colours() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[318] = (0.3127, 0.329)
    tags[319] = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (0, 128, 0)).save(buffer, "TIFF", tiffinfo=tags)
    assert shown(read_picture(buffer.getvalue()))[0, 0, 1] == pytest.approx(130, abs=2)
