"""Pictures that lie in a file sample by sample are mapped into memory, and are what others read of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from licframe.codec.latent import LatentCodec
from licframe.errors import ImageError, LimitError
from licframe.picture import mapped
from licframe.picture.images import Picture, from_array, read_picture
from licframe.runtime.limits import Limits
from tests.conftest import noise_picture


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "_LARGE", 0)


def pictures() -> dict[str, np.ndarray]:
    rgb = noise_picture(37, 29).pixels
    return {"p.ppm": rgb, "p.pgm": np.ascontiguousarray(rgb[..., 0])}


@pytest.mark.parametrize("name", ["p.ppm", "p.pgm"])
def test_a_mapped_file_is_what_pillow_reads(tmp_path: Path, name: str) -> None:
    pixels = pictures()[name]
    path = tmp_path / name
    Picture(pixels).save(path)
    found = read_picture(path).pixels

    assert isinstance(mapped.samples_of(path), np.memmap)
    assert np.array_equal(found, pixels)
    assert np.array_equal(found, read_picture(path.read_bytes()).pixels)


@pytest.mark.parametrize("shape", [(29, 37), (29, 37, 3), (29, 37, 4)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_arrays_in_files(tmp_path: Path, codec: LatentCodec, shape: tuple[int, ...], kind: type) -> None:
    samples = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)
    np.save(tmp_path / "p.npy", samples)
    found = read_picture(tmp_path / "p.npy")

    assert np.array_equal(found.samples, samples)
    assert codec.compress(tmp_path / "p.npy", 20) == codec.compress(from_array(samples), 20)


@pytest.mark.parametrize(
    "head",
    [
        b"P6 # said\n3 2\n255\n",
        b"P6\n3 2\n65535\n",
        b"P6\n3 2\n100\n",
        b"P3\n3 2\n255\n",
        b"P6\n3 200\n255\n",
    ],
)
def test_other_files_are_read_as_before(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "p.ppm").write_bytes(head + bytes(range(36)))

    assert mapped.samples_of(tmp_path / "p.ppm") is None


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((2, 3, 5), np.uint8), ImageError),
        (np.zeros((4, 4)), ImageError),
        (np.zeros((0, 4), np.uint8), LimitError),
    ],
)
def test_arrays_that_are_no_pictures(tmp_path: Path, array: np.ndarray, error: type[Exception]) -> None:
    np.save(tmp_path / "p.npy", array)
    with pytest.raises(error, match=r"p\.npy"):
        read_picture(tmp_path / "p.npy")


def test_a_damaged_array_and_one_of_objects(tmp_path: Path) -> None:
    (tmp_path / "p.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00{'descr'")
    np.save(tmp_path / "o.npy", np.array([[{}]]), allow_pickle=True)
    for name in ("p.npy", "o.npy"):
        with pytest.raises(ImageError, match=name):
            read_picture(tmp_path / name)


def test_limits_hold(tmp_path: Path) -> None:
    Picture(noise_picture(37, 29).pixels).save(tmp_path / "p.ppm")
    with pytest.raises(LimitError, match=r"p\.ppm is 37x29"):
        read_picture(tmp_path / "p.ppm", Limits(pixels=1000))
