"""Pictures: what is read is what was written; what is not supported is refused with a way out."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from licframe.errors import ImageError, LimitError
from licframe.images import Picture, as_picture, from_array, read_file, read_picture, write_atomically


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7), (1, 1, 3)])
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_round_trip(tmp_path: Path, shape: tuple[int, ...], suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    path = tmp_path / f"a{suffix}"
    from_array(pixels).save(path)

    assert np.array_equal(read_picture(path).pixels, pixels)
    assert list(tmp_path.iterdir()) == [path]


def test_metadata_travels(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    exif = Image.Exif()
    exif[0x010F] = "maker"
    Picture(pixels, {"icc": b"not really icc", "exif": exif.tobytes()}).save(tmp_path / "a.png")

    found = read_picture(tmp_path / "a.png").metadata
    assert found["icc"] == b"not really icc"
    assert b"maker" in found["exif"]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "I;16", "1", "F", "YCbCr"])
def test_other_modes_are_refused_with_a_way_out(mode: str) -> None:
    with pytest.raises(ImageError, match="convert"):
        as_picture(Image.new(mode, (4, 4)))


def test_transparent_palette_colour_is_not_dropped() -> None:
    image = Image.new("RGB", (4, 4))
    image.info["transparency"] = (0, 0, 0)

    with pytest.raises(ImageError, match="transparency"):
        as_picture(image)


def test_animation_is_refused() -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])

    with pytest.raises(ImageError, match="2 frames"):
        read_picture(buffer.getvalue())


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros(4, np.uint8)]
)
def test_arrays_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="uint8"):
        as_picture(array)


def test_empty_and_huge_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="empty"):
        from_array(np.zeros((0, 4, 3), np.uint8))
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    with pytest.raises(LimitError, match="--max-pixels"):
        read_picture(tmp_path / "a.png", max_pixels=9999)


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)

    with pytest.raises(ImageError, match=r"a\.png"):
        read_picture(tmp_path / "a.png")


def test_truncated_picture_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue()[:3000])

    with pytest.raises(ImageError, match="complete"):
        read_picture(tmp_path / "a.png")


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="cannot write"):
        write_atomically(tmp_path / "file" / "a.lic", b"data")
    with pytest.raises(ImageError, match="suffix"):
        from_array(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.xyz")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ImageError, match="cannot read"):
        read_file(tmp_path / "a")
