"""Hostile files: whatever the bytes, the answer is a picture or a LicframeError, soon and in little memory."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licframe.bitstream import container
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_for
from licframe.errors import CorruptStreamError, LicframeError, LimitError
from licframe.runtime.limits import Limits
from licframe.testing.mutations import CHUNK_OPERATIONS, OPERATIONS, mutate

GOLDEN = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "golden").glob("*.lic"))}
SMALL = ("grey-q60-revision2", "one-pixel-q0", "strip-q100")

operations = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 2**32), st.integers(0, 2**32)),
    min_size=1,
    max_size=4,
)


def attempt(codec: LatentCodec, data: bytes) -> None:
    """Do what decompress does, with one codec loaded."""
    header = container.read(data).header
    known = header.fingerprint == codec.fingerprint[:6]
    (codec if known else load_for(header)).decode(data)


@pytest.mark.slow
@given(st.sampled_from(sorted(GOLDEN)), operations)
@settings(max_examples=2000)
def test_mutations_give_an_image_or_an_error(codec: LatentCodec, name: str, changes: list) -> None:
    begin = time.perf_counter()
    with contextlib.suppress(LicframeError):
        attempt(codec, mutate(GOLDEN[name], changes))
    assert time.perf_counter() - begin < 20  # a hang, on a busy machine


def test_mutations_reach_what_lies_behind_the_checksum() -> None:
    """Otherwise the test above would only try the checksum."""
    reached = 0
    for name in CHUNK_OPERATIONS:
        try:
            container.read(mutate(GOLDEN["rgb-q50"], [(name, 1, 3)]))
            reached += 1
        except LicframeError:
            pass
    assert reached >= 4
    assert mutate(GOLDEN["rgb-q50"], []) == GOLDEN["rgb-q50"]


def test_mutations_reach_the_quality_of_the_latent_and_details() -> None:
    data = GOLDEN["grey-q90-revision5"]
    file = container.read(data)
    levels = {container.read(mutate(data, [("relevel", k, 1)])).header.latent_quality for k in range(129)}

    assert file.detail is not None
    assert levels == set(range(-28, 101))
    assert container.read(mutate(data, [("relevel", 78, 1)])).header.details
    changed = container.read(mutate(data, [("redetail", 7, 1)])).detail
    assert (changed.quality, changed.fingerprint) == (7, file.detail.fingerprint)
    assert changed.payload == file.detail.payload[4:] + file.detail.payload[:4]


def test_mutations_reach_tiles() -> None:
    """Other sides and lengths are refused; tiles that change places are found, and fit where they do."""
    data = GOLDEN["la-q80-revision6"]
    payloads = container.read(data).payloads
    orders = set()
    for a in range(4):
        for b in range(2, 14, 3):
            file = container.read(mutate(data, [("retile", a, b)]), best_effort=True)
            orders.add(file.payloads)
            assert sorted(file.payloads) == sorted(payloads)
    assert len(orders) > 3
    for a, b in ((9, 0), (0, 0), (1, 4), (2, 31)):
        with pytest.raises(CorruptStreamError):
            container.read(mutate(data, [("retile", a, b)]))


@pytest.mark.parametrize("name", SMALL)
def test_every_flipped_bit_is_detected(codec: LatentCodec, name: str) -> None:
    data = GOLDEN[name]
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(LicframeError):
            codec.decode(bytes(damaged))


def test_a_small_file_takes_little_time_and_memory(codec: LatentCodec) -> None:
    """127 bytes that claim 9000x9000 are refused before anything is allocated."""
    file = container.read(GOLDEN["one-pixel-q0"])
    claim = container.write(attrs.evolve(file, header=attrs.evolve(file.header, width=9000, height=9000)))
    claim = claim[: claim.index(b"Z", 50)].ljust(127, b"\0")
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(CorruptStreamError):
        container.read(claim, Limits(memory=2**40))
    assert time.perf_counter() - begin < 0.05
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_a_stream_that_is_too_short_ends_early(codec: LatentCodec) -> None:
    """A decoder does not go on reading zeros until a large image is full."""
    file = container.read(GOLDEN["rgb-q50"])
    ((payload, digest),) = file.payloads
    said = set()
    for length in range(0, 200, 4):
        with pytest.raises(CorruptStreamError) as caught:
            codec.decode(container.write(attrs.evolve(file, payloads=((payload[:length], digest),))))
        said.add(str(caught.value).split(";")[0])
    assert "the coded stream ends before its last symbol" in said
    assert not any("digest" in text for text in said)


def test_time_is_limited(codec: LatentCodec) -> None:
    with pytest.raises(LimitError, match="--limit seconds="):
        codec.decode(GOLDEN["rgb-q50"], Limits(seconds=1e-6))


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "nobody", "licframe"])
def test_names_in_a_file_open_and_import_nothing(name: str, monkeypatch) -> None:
    import builtins
    import importlib

    file = container.read(GOLDEN["one-pixel-q0"])
    header = attrs.evolve(file.header, profile=name.replace("/", "."), fingerprint=b"nobody")
    parts = tuple(f"{name.replace('/', '.')} 1" for _ in range(3))
    data = container.write(attrs.evolve(file, header=attrs.evolve(header, parts=parts)))
    real_open, real_import = builtins.open, importlib.import_module

    def checked_open(path: object, *args: object, **more: object) -> object:
        assert "passwd" not in str(path)
        return real_open(path, *args, **more)

    def checked_import(module: str, *args: object) -> object:
        assert "nobody" not in module
        return real_import(module, *args)

    monkeypatch.setattr(builtins, "open", checked_open)
    monkeypatch.setattr(importlib, "import_module", checked_import)
    with pytest.raises(LicframeError, match="not installed"):
        load_for(container.read(data).header)
