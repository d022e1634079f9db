"""The .lic container: round trips, overhead, and every kind of damage is named."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licframe.bitstream import container
from licframe.bitstream.container import File, Header, Stream
from licframe.errors import CorruptStreamError, LicframeError, LicframeWarning, LimitError
from licframe.runtime.limits import Limits

HEADER = Header(768, 512, "RGB", 50, "balanced", ("residual 1", "msp 1", "gaussian 1"), b"abcdef")
FILE = File(HEADER, ((b"payload!" * 3, 0x01020304),), {"icc": b"profile", "exif": b"exif", "xmp": b"xmp"})
DETAILED = attrs.evolve(
    FILE, details=(container.Detail(70, b"weight", b"shower", b"details!", 0x05060708),)
)

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
labels = names.map(lambda name: f"{name.lstrip('-') or 'x'} 1")


@given(
    st.builds(
        Header,
        width=st.integers(1, 4000),
        height=st.integers(1, 4000),
        mode=st.sampled_from(container.MODES),
        depth=st.sampled_from([8, 16]),
        quality=st.integers(0, 100),
        profile=names,
        parts=st.lists(labels, min_size=3, max_size=5).map(tuple),
        fingerprint=st.binary(min_size=6, max_size=6),
        codec=st.just("") | labels,
    ),
    st.binary(max_size=300),
    st.integers(0, 2**32 - 1),
    st.dictionaries(st.sampled_from(["icc", "exif", "xmp"]), st.binary(max_size=300)),
    st.dictionaries(labels, st.builds(Stream, st.binary(max_size=50), st.booleans()), max_size=3),
)
def test_round_trip(
    header: Header, payload: bytes, digest: int, metadata: dict[str, bytes], streams: dict[str, Stream]
) -> None:
    alpha = b"alpha" if "A" in header.mode else None
    file = File(header, ((payload, digest),), metadata, alpha, streams)
    data = container.write(file)

    assert container.read(data) == file
    assert container.read_header(data) == header


def test_a_codec_of_another_kind_may_have_no_parts_and_no_weights() -> None:
    header = Header(8, 8, "L", 50, "mine", (), b"", codec="dct 1")
    file = File(header, ((b"payload", 1),), streams={"dct 1": Stream(b"steps")})

    assert container.read(container.write(file)) == file


def stream(name: bytes, data: bytes = b"") -> bytes:
    return bytes([len(name)]) + name + data


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([(b"S", stream(b"x 1")), (b"s", stream(b"x 1"))], "two side streams are named x 1"),
        ([(b"S", stream(b""))], "no name of a side stream"),
        ([(b"S", b"")], "no name of a side stream"),
        ([(b"S", stream(b"X 1"))], "no name of a side stream"),
        ([(b"S", bytes([200]) + b"x 1")], "no name of a side stream"),
        ([(b"W", b"filter")], "revision 5 has no chunk b'W'"),
    ],
)
def test_side_streams_have_names_of_their_own(chunks: list[tuple[bytes, bytes]], said: str) -> None:
    data = bytes(container.MAGIC) + b"\x01" + container.chunk(b"H", container.pack_header(HEADER))
    for kind, body in chunks:
        data += container.chunk(kind, body)

    with pytest.raises(CorruptStreamError, match=said):
        container.read(data + container.chunk(b"P", bytes(8)))


@pytest.mark.parametrize("revision", [1, 2, 3])
def test_older_files_have_no_side_streams_but_a_filter(revision: int) -> None:
    header = attrs.evolve(HEADER, revision=revision)
    start = bytes(container.MAGIC) + b"\x01" + container.chunk(b"H", container.pack_header(header))
    end = container.chunk(b"P", bytes(8))

    assert container.read(start + container.chunk(b"W", b"f") + end).streams == {"wiener 1": Stream(b"f")}
    with pytest.raises(CorruptStreamError, match="has no chunk"):
        container.read(start + container.chunk(b"S", stream(b"x 1")) + end)


def test_overhead_of_a_usual_file_is_at_most_65_bytes() -> None:
    payload = bytes(100_000)

    assert len(container.write(File(HEADER, ((payload, 0),)))) - len(payload) <= 65


@pytest.mark.parametrize("file", [FILE, DETAILED])
def test_every_truncation_is_an_error(file: File) -> None:
    data = container.write(file)
    for length in range(len(data)):
        with pytest.raises(CorruptStreamError):
            container.read(data[:length])


@pytest.mark.parametrize("file", [FILE, DETAILED])
def test_every_flipped_bit_is_an_error(file: File) -> None:
    data = container.write(file)
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
    data = container.write(File(attrs.evolve(HEADER, width=20_000, height=20_000), ((b"", 0),)))

    with pytest.raises(LimitError, match=r"--limit pixels=400000000"):
        container.read(data)
    unlimited = Limits(2**40, 2**30, 2**60)
    with pytest.warns(LicframeWarning, match="a while"):
        assert container.read(data, unlimited).header.width == 20_000
    for name in ("pixels", "side", "memory"):
        with pytest.raises(LimitError, match=f"--limit {name}="):
            container.read_header(data, attrs.evolve(unlimited, **{name: 1000}))


def test_a_small_file_cannot_claim_a_large_image() -> None:
    """What a decoder spends is in proportion to the bytes it was given."""
    header = attrs.evolve(HEADER, width=4096, height=4096)
    honest = container.write(File(header, ((b"", 0),)))
    assert 4096 * len(honest) + 2**20 >= 4096 * 4096
    assert container.read(honest).header == header
    claim = honest[: honest.index(b"Z", 60)]
    with pytest.raises(CorruptStreamError, match="too few"):
        container.read(claim)


@pytest.mark.parametrize("kind", [b"I", b"E", b"X", b"A"])
def test_best_effort_leaves_out_what_is_damaged(kind: bytes) -> None:
    whole = attrs.evolve(FILE, header=attrs.evolve(HEADER, mode="RGBA"), alpha=b"alpha!")
    data = container.write(whole)
    names = {b"I": "profile", b"E": "exif", b"X": "xmp", b"A": "alpha!"}
    place = data.index(kind + bytes([len(names[kind])]) + names[kind].encode())
    for hit in range(place, place + 2 + len(names[kind]) + 4):
        damaged = bytearray(data)
        damaged[hit] ^= 0x40
        with pytest.raises(CorruptStreamError):
            container.read(bytes(damaged))
        found = container.read(bytes(damaged), best_effort=True)
        assert found.payloads == whole.payloads
        assert f"bytes {place} to" in found.damage[0]
        kept = dict(found.metadata, **({} if found.alpha is None else {"alpha": found.alpha}))
        assert {**whole.metadata, "alpha": whole.alpha}.items() > kept.items()


def test_best_effort_needs_header_and_payload() -> None:
    data = container.write(FILE)
    for place in (20, len(data) - 20):
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(CorruptStreamError, match=r"header|payload"):
            container.read(bytes(damaged), best_effort=True)


def test_alpha_comes_with_its_mode_and_only_then() -> None:
    for mode, alpha in (("RGBA", None), ("RGB", b"x")):
        data = container.write(attrs.evolve(FILE, header=attrs.evolve(HEADER, mode=mode), alpha=alpha))
        with pytest.raises(CorruptStreamError, match="alpha"):
            container.read(data)


def test_names_of_any_length_are_bounded() -> None:
    with pytest.raises(CorruptStreamError, match="names"):
        container.unpack_names(bytes(256))


def test_a_file_of_many_gaps_is_read_in_bounded_time_and_words() -> None:
    start = bytes(container.MAGIC) + b"\x01" + container.chunk(b"H", container.pack_header(HEADER))
    gaps = b"\x00".join([container.chunk(b"I", b"x")] * 3000)
    with pytest.raises(CorruptStreamError) as caught:
        container.read(start + b"\x00" + gaps, best_effort=True)
    assert len(str(caught.value)) < 2000
    with pytest.raises(CorruptStreamError):
        container.read(start + b"S" * 400_000, best_effort=True)


def test_files_hold_few_side_streams() -> None:
    with pytest.raises(ValueError, match="at most 16"):
        container.write(attrs.evolve(FILE, streams={f"x {k}": Stream(b"") for k in range(17)}))
    data = container.write(FILE)
    end = data.index(b"P", len(data) - 60)
    many = b"".join(container.chunk(b"s", stream(f"x {k}".encode())) for k in range(17))
    with pytest.raises(CorruptStreamError, match="more than 16"):
        container.read(data[:end] + many + data[end:])


@pytest.mark.parametrize(
    "change",
    [
        {"quality": 200},
        {"quality": 50.5},
        {"fingerprint": b"ab"},
        {"codec": "dct/1"},
        {"codec": "DCT 1"},
        {"parts": ("a 1", "", "b 1")},
        {"revision": 3, "codec": "dct 1"},
        {"mode": "CMYK"},
        {"profile": "a" * 400},
    ],
)
def test_what_a_reader_would_refuse_is_not_written(change: dict) -> None:
    with pytest.raises(ValueError, match=r"written|read as another"):
        container.write(attrs.evolve(FILE, header=attrs.evolve(HEADER, **change)))


def test_bytes_may_be_any_buffer() -> None:
    data = container.write(FILE)
    assert container.read(bytearray(data)) == container.read(memoryview(data)) == FILE
    assert container.read_header(bytearray(data)) == HEADER
