"""Pictures that lie in a file sample by sample are mapped into memory, and are what others read of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from licframe.codec.latent import LatentCodec
from licframe.errors import ImageError, LicframeWarning, LimitError
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
    assert np.array_equal(read_picture((tmp_path / "p.npy").read_bytes()).samples, samples)
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
        with pytest.raises(ImageError):
            read_picture((tmp_path / name).read_bytes())


def test_an_array_that_says_it_is_huge(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.zeros((10, 10), np.uint8))
    data = (tmp_path / "p.npy").read_bytes().replace(b"(10, 10), ", b"(10, 1000000000), ")
    (tmp_path / "h.npy").write_bytes(data)
    for source in (data, tmp_path / "h.npy"):
        with pytest.raises((ImageError, LimitError)):
            read_picture(source)


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """What it gave to find out its kind would be gone: ``licframe compress <(...)``."""
    picture, path = noise_picture(37, 29), tmp_path / "p"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(picture.encode(".png"),))
    writer.start()
    found = read_picture(path)
    writer.join()

    assert np.array_equal(found.pixels, picture.pixels)


def test_an_array_of_another_time_has_a_note(tmp_path: Path) -> None:
    """Not a warning of Python's."""
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (2L, 3L)}".ljust(117) + b"\n"
    (tmp_path / "p.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + head + bytes(range(6)))
    with pytest.warns(LicframeWarning, match=r"p\.npy was read, but is not all right: .*Python 2"):
        found = read_picture(tmp_path / "p.npy").pixels

    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(("kind", "error"), [(">u2", LimitError), (">f8", ImageError)])
def test_an_array_beyond_the_limits_is_not_converted(kind: str, error: type[Exception]) -> None:
    """To the byte order of this machine: it may be larger than memory."""
    with pytest.raises(error, match="16777216"):
        from_array(np.broadcast_to(np.zeros((1, 1), kind), (2**24, 2**24)))


def test_limits_hold(tmp_path: Path) -> None:
    Picture(noise_picture(37, 29).pixels).save(tmp_path / "p.ppm")
    with pytest.raises(LimitError, match=r"p\.ppm is 37x29"):
        read_picture(tmp_path / "p.ppm", Limits(pixels=1000))
