"""The .lic container: round trips, overhead, and every kind of damage is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licframe import container
from licframe.container import File, Header
from licframe.errors import CorruptStreamError, LicframeError, LimitError

HEADER = Header(768, 512, "RGB", 50, "balanced", ("residual 1", "msp 1", "gaussian 1"), b"abcdef")
FILE = File(HEADER, ((b"payload!" * 3, 0x01020304),), {"icc": b"profile", "exif": b"exif", "xmp": b"xmp"})

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)


@given(
    st.builds(
        Header,
        width=st.integers(1, 16000),
        height=st.integers(1, 16000),
        mode=st.sampled_from(container.MODES),
        quality=st.integers(0, 100),
        profile=names,
        parts=st.lists(names.map(lambda n: f"{n} 1"), min_size=3, max_size=5).map(tuple),
        fingerprint=st.binary(min_size=6, max_size=6),
    ),
    st.binary(max_size=300),
    st.integers(0, 2**32 - 1),
    st.dictionaries(st.sampled_from(["icc", "exif", "xmp"]), st.binary(max_size=300)),
)
def test_round_trip(header: Header, payload: bytes, digest: int, metadata: dict[str, bytes]) -> None:
    file = File(header, ((payload, digest),), metadata)
    data = container.write(file)

    assert container.read(data) == file
    assert container.read_header(data) == header


def test_overhead_of_a_usual_file_is_at_most_64_bytes() -> None:
    payload = bytes(100_000)

    assert len(container.write(File(HEADER, ((payload, 0),)))) - len(payload) <= 64


def test_every_truncation_is_an_error() -> None:
    data = container.write(FILE)
    for length in range(len(data)):
        with pytest.raises(CorruptStreamError):
            container.read(data[:length])


def test_every_flipped_bit_is_an_error() -> None:
    data = container.write(FILE)
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(LicframeError):
            container.read(bytes(damaged))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_licframe_error(data: bytes) -> None:
    for start in (b"", container.MAGIC, container.MAGIC + b"\x01"):
        with pytest.raises(CorruptStreamError):
            container.read(start + data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "not a .lic file"),
        (b"hello, world", "not a .lic file"),
        (container.MAGIC + b"\x02" + bytes(20), "version 2"),
        (container.MAGIC[:5], "damaged"),
        (container.write(FILE) + b"more", "damaged"),
    ],
)
def test_foreign_input_is_named(data: bytes, said: str) -> None:
    with pytest.raises(CorruptStreamError, match=said):
        container.read(data)


def test_huge_image_is_refused_before_anything_is_allocated() -> None:
    data = container.write(
        File(Header(2**20, 2**20, "RGB", 50, "p", ("a 1", "b 1", "c 1"), b"abcdef"), ((b"", 0),))
    )

    with pytest.raises(LimitError, match="--max-pixels"):
        container.read(data)
    assert container.read(data, max_pixels=2**40).header.width == 2**20


def test_names_of_any_length_are_bounded() -> None:
    with pytest.raises(CorruptStreamError, match="names"):
        container.unpack_names(bytes(256))
