"""Previews: of files that are cut short, of the coarser levels, and of streams while they arrive."""

from __future__ import annotations

import contextlib
import io
import itertools
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

import licframe
from licframe.bitstream import arrival, container
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, LicframeError, LicframeWarning, UsageError
from licframe.evaluation.datasets import sample_picture
from licframe.exact.coder import Decoder, Encoder, EndOfPrefixError, PrefixDecoder
from licframe.exact.tables import TableBank
from licframe.model import latent_coding, previews
from licframe.picture.images import Picture, from_array, read_picture
from licframe.profile.profile import latent_profile
from licframe.runtime.clock import Clock
from licframe.runtime.limits import Limits
from licframe.testing.conformance import random_codec
from licframe.testing.mutations import mutate
from tests.test_cli import licframe as command
from tests.test_hostile import GOLDEN, operations
from tests.test_schedulers import AR

SHARES = (0.1, 0.25, 0.5, 0.75, 1)
TILED = ["encoder.tile=256", "encoder.tiled_above=0"]


@pytest.fixture(scope="module")
def picture() -> Picture:
    return from_array(read_picture(sample_picture()).pixels[:300, :530])


@pytest.fixture(scope="module")
def tiling() -> LatentCodec:
    return load_latent("tiny", TILED)


@pytest.fixture(scope="module")
def plain(codec: LatentCodec, picture: Picture) -> bytes:
    return codec.encode(picture, Target(quality=40)).data


@pytest.fixture(scope="module")
def detailed(codec: LatentCodec, picture: Picture) -> bytes:
    return codec.encode(picture, Target(quality=90)).data


@pytest.fixture(scope="module", params=["plain", "details", "tiles", "tiles with details"])
def data(request: Any, plain: bytes, detailed: bytes, tiling: LatentCodec, picture: Picture) -> bytes:
    if request.param == "plain":
        return plain
    if request.param == "details":
        return detailed
    return tiling.encode(picture, Target(quality=90 if "details" in request.param else 40)).data


def part(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


# -- what the bytes prove ---------------------------------------------------------------------------


def test_the_beginning_of_a_stream_gives_what_the_whole_gives() -> None:
    """Whatever its length: as many symbols as its bytes prove, at most two words less than went into them."""
    rng = np.random.default_rng(0)
    counts = [np.array([2**18, 2**19, 2**18 - 1, 1])]
    bank = TableBank(np.array([1]), counts)
    runs = [torch.from_numpy(rng.integers(-1, 2, 50).astype(float)) for _ in range(40)]
    runs[7][3], runs[20][0] = 70_000, -5
    index = torch.zeros(50, dtype=torch.int64)
    encoder = Encoder()
    spent = []
    for run in runs:
        encoder.code(bank, index, run)
        spent.append(encoder.bits)
    data = encoder.finish()
    for length in range(0, len(data), 3):
        decoder = PrefixDecoder(data[:length])
        found = 0
        with contextlib.suppress(EndOfPrefixError):
            for run in runs:
                assert torch.equal(decoder.code(bank, index), run)
                found += 1
        assert found >= sum(bits < 8 * length - 96 for bits in spent)
        assert found < len(runs)
    whole = Decoder(data)
    assert all(torch.equal(whole.code(bank, index), run) for run in runs)


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        ([], [1, 6, 6, 6]),
        (["context_scheduler.plugin=checkerboard"], [1, 2, 2]),
        (["context_scheduler.plugin=hyperprior"], [1, 1]),
        (AR, [1, 16 * 10]),
    ],
    ids=["msp", "checkerboard", "hyperprior", "autoregressive"],
)
def test_every_context_scheduler_has_levels(settings: list[str], levels: list[int]) -> None:
    """What is decoded is that of the whole; a payload that is cut gives more steps the longer it is."""
    model = random_codec(latent_profile("tiny", settings)).model
    shape = (16, 10)
    latent = torch.randn(1, 48, *shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        coded = latent_coding.encode(model, latent, 60, Clock())
        plan = model.scheduler.plan(*shape)
        assert previews.levels(plan) == levels
        for leave_out in range(len(levels) + 1):
            found = previews.decode(model, coded.payload, 60, shape, Clock(), leave_out=leave_out)
            assert found.decoded == sum(levels[: max(1, len(levels) - leave_out)])
            assert found.steps == sum(levels)
            for step in plan[: found.decoded]:
                if step.tensor == "y":
                    assert torch.equal(found.y[step.index], coded.y[step.index])
            assert torch.equal(found.y, coded.y) == (leave_out == 0)
        cuts = [coded.payload[: share * len(coded.payload) // 5] for share in range(5)]
        steps = [previews.decode(model, cut, 60, shape, Clock(), cut=True).decoded for cut in cuts]
    assert steps == sorted(steps)
    assert steps[0] == 0


# -- files that are cut short -----------------------------------------------------------------------


def test_a_cut_file_looks_better_the_more_there_is_of_it(
    codec: LatentCodec, data: bytes, picture: Picture
) -> None:
    found = [codec.decode_preview(part(data, share)) for share in SHARES]
    fidelity = [picture.psnr(decoded.picture.pixels) for decoded in found]

    assert all(more > less for less, more in itertools.pairwise(fidelity))
    assert np.array_equal(found[-1].picture.pixels, codec.decode(data).picture.pixels)
    assert found[-1].damage == ()
    for decoded in found[:-1]:
        assert any("which no digest can confirm" in said for said in decoded.damage)


def test_previews_are_far_better_than_nothing(codec: LatentCodec, plain: bytes, picture: Picture) -> None:
    mean = np.broadcast_to(picture.pixels.mean((0, 1)).astype(np.uint8), picture.pixels.shape)
    half = codec.decode_preview(part(plain, 0.5)).picture.pixels

    assert picture.psnr(half) > picture.psnr(mean) + 5


def test_best_effort_shows_the_same(codec: LatentCodec, data: bytes) -> None:
    for share in SHARES[:-1]:
        cut = part(data, share)
        with pytest.raises(CorruptStreamError):
            codec.decode(cut)
        one, other = codec.decode(cut, best_effort=True), codec.decode_preview(cut)
        assert np.array_equal(one.picture.pixels, other.picture.pixels)
        assert one.damage == other.damage


def test_a_part_of_a_cut_file(codec: LatentCodec, data: bytes) -> None:
    cut = part(data, 0.6)
    whole = codec.decode_preview(cut).picture.pixels
    found = codec.decode_preview(cut, region=(100, 40, 300, 200)).picture.pixels

    assert np.abs(found.astype(int) - whole[40:240, 100:400]).max() <= 1


def test_only_the_end_may_be_missing(codec: LatentCodec, plain: bytes) -> None:
    """A preview is no best effort: a bit that changed is an error. Nor is there one of a file without a payload."""
    for position in (40, len(plain) // 2):
        damaged = bytearray(plain)
        damaged[position] ^= 1
        with pytest.raises(CorruptStreamError, match="checksum"):
            codec.decode_preview(bytes(damaged))
    start = plain.index(b"P", 60)
    for length in (0, 5, 8, 30, start, start + 1, start + 4):
        with pytest.raises(CorruptStreamError):
            codec.decode_preview(plain[:length])
        with pytest.raises(CorruptStreamError):
            codec.decode(plain[:length], best_effort=True)


def test_missing_tiles_are_allowed_behind_the_end_only(tiling: LatentCodec, picture: Picture) -> None:
    data = tiling.encode(picture, Target(quality=40)).data
    places = [offset for kind, _, offset in container.chunks(data) if kind == b"P"]
    cut = data[: places[3] + 200]
    found = container.read(cut, prefix=True)

    assert (found.cut, found.lost) == (3, (4, 5))
    with pytest.raises(CorruptStreamError, match="tile 1"):
        container.read(cut[: places[1]] + cut[places[2] :], prefix=True)
    shown = tiling.decode_preview(cut).picture.pixels
    assert np.array_equal(shown[:200, :200], tiling.decode(data).picture.pixels[:200, :200])
    assert (shown[256:, 300:] == 128).all()


# -- fewer levels -----------------------------------------------------------------------------------


def test_levels_are_left_out_from_the_finest_on(codec: LatentCodec, data: bytes, picture: Picture) -> None:
    found = [codec.decode_preview(data, number) for number in range(6)]
    fidelity = [picture.psnr(decoded.picture.pixels) for decoded in found]
    levels = 4 + bool(container.read(data).details)

    assert np.array_equal(found[0].picture.pixels, codec.decode(data).picture.pixels)
    assert all(one > other + 1 for one, other in itertools.pairwise(fidelity[:levels]))
    assert all(
        np.array_equal(decoded.picture.pixels, found[levels - 1].picture.pixels)
        for decoded in found[levels:]
    )
    assert all(decoded.damage == () for decoded in found)


def test_details_are_the_finest_level(codec: LatentCodec, detailed: bytes) -> None:
    file = container.read(detailed)
    header = attrs.evolve(file.header, details=False)
    bare = container.write(attrs.evolve(file, header=header, details=()))

    assert np.array_equal(
        codec.decode_preview(detailed, 1).picture.pixels, codec.decode(bare).picture.pixels
    )
    assert np.array_equal(
        codec.decode_preview(detailed, 2).picture.pixels, codec.decode_preview(bare, 1).picture.pixels
    )


def test_coarse_levels_need_the_beginning_of_a_file_only(codec: LatentCodec, plain: bytes) -> None:
    wanted = codec.decode_preview(plain, 1).picture.pixels
    found = codec.decode_preview(part(plain, 0.5), 1)

    assert np.array_equal(found.picture.pixels, wanted)


def test_what_has_no_levels_says_so(picture: Picture, plain: bytes) -> None:
    kept = licframe.load("lossless").compress(picture)
    with pytest.raises(UsageError, match="no preview of this file: lossless 1"):
        licframe.decompress(kept, preview=1)
    flat = licframe.load("tiny").compress(np.zeros((40, 40, 3), np.uint8))
    assert container.read_header(flat).codec
    with pytest.raises(UsageError, match="no preview"):
        licframe.load("tiny").decode_preview(flat)
    with pytest.raises(UsageError, match="the least is 0"):
        licframe.decompress(plain, preview=-1)


def test_the_library_warns_of_what_is_missing(codec: LatentCodec, plain: bytes) -> None:
    with pytest.warns(LicframeWarning, match="the file ends within the payload"):
        image = licframe.decompress(part(plain, 0.5), preview=0)
    assert np.array_equal(np.asarray(image), codec.decode_preview(part(plain, 0.5)).picture.pixels)
    assert licframe.read(plain, preview=2, region=(0, 0, 30, 20)).size == (30, 20)


def test_alpha_and_metadata_are_those_of_the_file(codec: LatentCodec, picture: Picture) -> None:
    rng = np.random.default_rng(0)
    opacity = rng.integers(0, 256, picture.pixels.shape[:2], dtype=np.uint16)
    deep = Picture(picture.pixels.astype(np.uint16) * 257, {"exif": b"Exif\0\0"}, opacity)
    data = codec.encode(deep, Target(quality=40)).data
    found = codec.decode_preview(data[:-3000]).picture

    assert (found.mode, found.depth, found.metadata) == ("RGBA", 16, deep.metadata)
    assert np.array_equal(found.alpha, opacity)


# -- streams ----------------------------------------------------------------------------------------


def shown(data: bytes, size: int, pictures: int = 6) -> tuple[list[Any], Any]:
    """Return the previews of a file that arrives in pieces of a size, and the picture."""
    decoder = licframe.ProgressiveDecoder("tiny", pictures=pictures)
    found = [decoder.feed(data[start : start + size]) for start in range(0, len(data), size)]
    return [np.asarray(image) for image in found if image is not None], np.asarray(decoder.finish())


def test_a_stream_looks_better_and_better(codec: LatentCodec, data: bytes, picture: Picture) -> None:
    found, whole = shown(data, 500)
    fidelity = [picture.psnr(pixels) for pixels in found]

    assert len(found) >= 5
    # The first steps of a tile may be further from it than grey is.
    assert all(more > less - 0.5 for less, more in itertools.pairwise(fidelity))
    assert fidelity[-1] > fidelity[0] + 5
    assert np.array_equal(whole, codec.decode(data).picture.pixels)
    assert np.array_equal(found[-1], whole)


def test_pieces_do_not_matter(codec: LatentCodec) -> None:
    """What has arrived decides, byte by byte or in one piece."""
    pixels = read_picture(sample_picture()).pixels[:120, :150]
    data = codec.encode(from_array(pixels), Target(quality=90)).data
    bytewise, whole = shown(data, 1, pictures=5)
    pieces, same = shown(data, 7, pictures=5)
    (last,), _ = shown(data, len(data), pictures=5)

    assert 5 <= len(bytewise) <= 10
    assert len(pieces) == len(bytewise)
    assert all(map(np.array_equal, pieces, bytewise))
    assert np.array_equal(last, bytewise[-1])
    assert np.array_equal(whole, same)


def test_a_stream_that_ends_early_has_no_picture(plain: bytes) -> None:
    decoder = licframe.ProgressiveDecoder("tiny")
    assert decoder.feed(part(plain, 0.6)) is not None
    with pytest.raises(CorruptStreamError, match=r"inside a chunk.*--preview 0 shows"):
        decoder.finish()
    assert np.array_equal(
        np.asarray(decoder.feed(plain[len(part(plain, 0.6)) :])), np.asarray(decoder.finish())
    )


def test_streams_of_other_codecs_have_a_picture_only(picture: Picture) -> None:
    found, whole = shown(licframe.load("lossless").compress(picture), 10_000)

    assert not found
    assert np.array_equal(whole, picture.pixels)


def test_deep_streams_are_shown_with_8_bits(codec: LatentCodec, picture: Picture) -> None:
    data = codec.encode(from_array(picture.pixels * np.uint16(257)), Target(quality=40)).data
    found, whole = shown(data, len(data))

    assert found[0].dtype == whole.dtype == np.uint8


def test_what_is_no_stream_is_refused_at_once(plain: bytes) -> None:
    for hostile in (b"\x89PNG\r\n\x1a\n", plain[:8] + b"P" * 4096, plain[:20] + b"\xff" * 4096):
        with pytest.raises(CorruptStreamError):
            licframe.ProgressiveDecoder().feed(hostile)
    with pytest.raises(UsageError, match="at least one"):
        licframe.ProgressiveDecoder(pictures=0)
    with pytest.raises(CorruptStreamError, match="empty"):
        licframe.ProgressiveDecoder().finish()


def test_a_stream_of_nothing_but_chunks_is_refused(plain: bytes) -> None:
    """They would be walked through with every piece: time would grow with the square of what arrives."""
    start = next(offset for kind, _, offset in container.chunks(plain) if kind != b"H")
    with pytest.raises(CorruptStreamError, match="more chunks than any"):
        licframe.ProgressiveDecoder().feed(plain[:start] + container.chunk(b"s", b"") * 1000)


@pytest.mark.parametrize("data", ["text", None, 5, [137, 76], np.zeros(1, np.uint8)])
def test_what_is_not_bytes_is_refused(data: Any) -> None:
    """An array would be added number by number."""
    with pytest.raises(UsageError, match=f"not {type(data).__name__}"):
        licframe.ProgressiveDecoder().feed(data)


def test_a_few_bytes_of_a_large_picture_are_not_decoded(codec: LatentCodec, plain: bytes) -> None:
    """What a decoder spends is in proportion to what it was given, of a file that is cut short, too."""
    file = container.read(plain)
    large = container.write(attrs.evolve(file, header=attrs.evolve(file.header, width=8192, height=8192)))
    cut = large[: large.index(b"P", 60) + 5000]

    limits = Limits(memory=2**40)

    assert licframe.ProgressiveDecoder("tiny", limits=limits).feed(cut) is None
    with pytest.raises(CorruptStreamError, match="too few"):
        codec.decode_preview(cut, 0, limits)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_where_the_payload_lies_is_known_early(name: str) -> None:
    data = GOLDEN[name]
    header = container.read_header(data)
    kinds = [(kind, offset) for kind, _, offset in container.chunks(data) if kind in (b"P", b"D")]
    places = dict(reversed(kinds))
    found = arrival.coded_parts(bytearray(data), header)

    assert [start for start, _ in found] == sorted(places.values())
    assert found[-1][1] <= len(data)
    for length in range(0, len(data), 50):
        known = arrival.coded_parts(bytearray(data[:length]), header)
        assert known == found[: len(known)]


@given(st.sampled_from(sorted(GOLDEN)), operations, st.floats(0, 1), st.integers(0, 4))
@settings(max_examples=60)
def test_mutated_and_cut_files_give_a_picture_or_an_error(
    codec: LatentCodec, name: str, changes: list[Any], share: float, leave_out: int
) -> None:
    """Without a digest symbols may be anything; what is shown then has the right size all the same."""
    data = part(mutate(GOLDEN[name], changes), share)
    for effort in (False, True):
        with contextlib.suppress(LicframeError):
            header = container.read_header(data)
            found = codec.decode_preview(data, leave_out, best_effort=effort).picture
            assert found.size == (header.width, header.height)
    with contextlib.suppress(LicframeError):
        licframe.ProgressiveDecoder(pictures=2).feed(data)


def test_symbols_that_nobody_wrote_give_a_picture(codec: LatentCodec, plain: bytes) -> None:
    rng = np.random.default_rng(0)
    start = plain.index(b"P", 60) + 10
    for _ in range(5):
        noise = rng.bytes(6000)
        found = codec.decode_preview(plain[:start] + noise)
        assert found.picture.size == (530, 300)


# -- the command and Pillow -------------------------------------------------------------------------


def test_the_command(codec: LatentCodec, plain: bytes, picture: Picture, tmp_path: Path) -> None:
    (tmp_path / "a.lic").write_bytes(plain)
    (tmp_path / "cut.lic").write_bytes(part(plain, 0.6))
    done = command("decompress", "cut.lic", "--preview", "0", cwd=tmp_path)
    assert "the file ends within the payload" in done.stdout
    coarse = ("-o", "coarse.png", "--preview", "1", "--region", "0,0,100,50")
    assert command("decompress", "a.lic", *coarse, cwd=tmp_path).returncode == 0
    assert command("decompress", "cut.lic", "-o", "no.png", cwd=tmp_path).returncode == 4
    (tmp_path / "kept.lic").write_bytes(licframe.load("lossless").compress(picture))
    refused = command("decompress", "kept.lic", "--preview", "1", cwd=tmp_path)
    assert (refused.returncode, "no preview" in refused.stderr) == (2, True)
    for name, wanted in (
        ("cut.png", codec.decode_preview(part(plain, 0.6)).picture.pixels),
        ("coarse.png", codec.decode_preview(plain, 1).picture.pixels[:50, :100]),
    ):
        assert np.abs(read_picture(tmp_path / name).pixels.astype(int) - wanted).max() <= 1


def test_thumbnails_leave_the_details_out(codec: LatentCodec, detailed: bytes, plain: bytes) -> None:
    image, other = licframe.open(detailed), licframe.open(detailed)
    bare = codec.decode_preview(detailed, 1).picture.to_pil()
    image.thumbnail((60, 60))
    bare.thumbnail((60, 60))

    assert np.array_equal(np.asarray(image), np.asarray(bare))
    assert other.draft(None, (300, 200)) is None
    assert np.array_equal(np.asarray(other), codec.decode(detailed).picture.pixels)
    assert other.draft(None, (10, 10)) is None
    assert licframe.open(plain).draft(None, (10, 10)) is None


def test_pillow_loads_truncated_files_where_it_is_told_to(
    codec: LatentCodec, plain: bytes, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = part(plain, 0.6)
    with pytest.raises(CorruptStreamError):
        licframe.open(cut)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    found = Image.open(io.BytesIO(cut))
    assert np.array_equal(np.asarray(found), codec.decode_preview(cut).picture.pixels)
    kept = licframe.load("lossless").compress(picture)
    assert np.array_equal(np.asarray(licframe.open(kept)), picture.pixels)
