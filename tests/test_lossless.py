"""The lossless codec: what is seen comes back, and what is hostile does not get far."""

from __future__ import annotations

import io
import json
import tracemalloc
import zlib
from pathlib import Path

import attrs
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import licframe
import licframe.pillow
from licframe.bitstream import container
from licframe.cli.app import app
from licframe.codec.interface import ImageCodec
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, LimitError, UsageError
from licframe.picture.images import Picture, from_array, read_picture
from licframe.testing.conformance import CodecConformance, picture_of
from licframe_plugins.lossless import planes
from tests import reference


class TestLossless(CodecConformance):
    @pytest.fixture
    def profile(self) -> str:
        return "lossless"


@pytest.fixture
def codec() -> ImageCodec:
    return licframe.load("lossless")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("coloured", [False, True])
def test_every_form_of_a_payload_comes_back(depth: int, *, coloured: bool) -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 2**depth, (5, 7, 3) if coloured else (5, 7)).astype(f"u{depth // 8}")
    split = samples
    if depth == 16:
        split = np.concatenate([samples >> 8, samples & 255]).astype(np.uint8)
    files = [planes._png(split), planes._webp(split), planes.encode(samples)]
    if depth == 16 and not coloured:
        files.append(planes._png(samples))
    for data in files:
        found = planes.decode(data, 5, 7, 3 if coloured else 1, depth)
        assert found.dtype == samples.dtype
        assert np.array_equal(found, samples)


def test_it_is_no_larger_than_png_and_webp(codec: ImageCodec) -> None:
    flat = np.zeros((40, 60, 3), np.uint8)
    for pixels in (flat, picture_of(96, 64).pixels):
        least = min(len(planes._png(pixels)), len(planes._webp(pixels)))
        assert len(codec.compress(pixels)) <= least + 80


def test_what_nobody_sees_costs_nothing(codec: ImageCodec) -> None:
    rng = np.random.default_rng(0)
    noise, alpha = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8), np.zeros((64, 64), np.uint8)
    alpha[:, :4] = 255
    data = codec.encode(Picture(noise, {}, alpha)).data

    assert len(data) < len(codec.compress(noise)) / 8
    assert np.array_equal(codec.decode(data).picture.pixels[:, :4], noise[:, :4])


def _graphic(mode: str, depth: int) -> Picture:
    """A disc on a ground, and alpha that is part of the same drawing."""
    y, x = np.mgrid[:45, :70]
    inside = (y - 22) ** 2 + (x - 35) ** 2 < 300
    colours = np.where(inside[..., None], (200, 30, 90), (10, 80, 160)) * (257 if depth == 16 else 1)
    alpha = np.where(inside, 255, x * 3 + 1) * (257 if depth == 16 else 1)
    kind = f"u{depth // 8}"
    pixels = colours.astype(kind)
    return Picture(pixels if "RGB" in mode else pixels[..., 0], {}, alpha.astype(kind))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_colours_and_alpha_go_together_where_that_is_smaller(
    codec: ImageCodec, mode: str, depth: int
) -> None:
    picture = _graphic(mode, depth)
    data = codec.encode(picture).data
    found = codec.decode(data).picture

    assert np.array_equal(found.pixels, picture.pixels)
    assert np.array_equal(found.alpha, picture.alpha)
    assert (found.mode, found.depth) == (mode, depth)
    assert container.read(data).alpha == b""
    header, *_, ((payload, _),) = reference.read_container(data)
    assert np.array_equal(reference.read_lossless(payload, header), picture.samples)
    if depth == 8:
        image, out = Image.fromarray(picture.samples).convert("RGBA"), io.BytesIO()
        image.save(out, "WEBP", lossless=True, method=5, quality=90)
        assert len(data) <= len(out.getvalue()) + 80


def test_alpha_of_a_kind_of_its_own_stands_apart(codec: ImageCodec) -> None:
    noise = picture_of(96, 64)
    flat = Picture(noise.pixels, {}, np.full((64, 96), 200, np.uint8))

    assert container.read(codec.encode(flat).data).alpha == b"\xc8"


def test_alpha_that_stands_twice_or_nowhere(codec: ImageCodec) -> None:
    """An error; with best effort what is there."""
    picture = _graphic("RGBA", 8)
    file = container.read(codec.encode(picture).data)
    twice = container.write(attrs.evolve(file, alpha=b"\x07"))
    chunks = [(kind, body) for kind, body, _ in container.chunks(container.write(file))]
    no_chunk = container.write(file)[:8] + b"".join(container.chunk(*c) for c in chunks if c[0] != b"A")
    for data in (twice, no_chunk):
        with pytest.raises(CorruptStreamError, match="alpha"):
            codec.decode(data)
        assert np.array_equal(codec.decode(data, best_effort=True).picture.samples, picture.samples)
    apart = container.read(codec.encode(attrs.evolve(picture, alpha=np.full((45, 70), 9, np.uint8))).data)
    nowhere = container.write(attrs.evolve(apart, alpha=b""))
    with pytest.raises(CorruptStreamError, match="alpha"):
        codec.decode(nowhere)
    assert "opaque" in codec.decode(nowhere, best_effort=True).damage[-1]


def test_other_alpha_than_that_of_the_digest_is_refused(codec: ImageCodec) -> None:
    picture = _graphic("RGBA", 8)
    other = planes.encode_with_alpha(picture.pixels, picture.alpha // 2 + 1)
    assert other is not None
    with pytest.raises(CorruptStreamError, match="digest"):
        codec.decode(_with_payload(codec.encode(picture).data, other))


def test_targets(codec: ImageCodec) -> None:
    picture = picture_of(20, 20)

    assert codec.encode(picture, Target(psnr=99.0)).data == codec.encode(picture).data
    with pytest.raises(LimitError, match="without loss"):
        codec.encode(picture, Target(bpp=0.1))
    with pytest.raises(UsageError, match="only 100"):
        codec.encode(picture, Target(quality=50))


def _with_payload(data: bytes, payload: bytes, digest: int | None = None) -> bytes:
    file = container.read(data)
    ((_, old),) = file.payloads
    return container.write(attrs.evolve(file, payloads=((payload, old if digest is None else digest),)))


@pytest.mark.slow
def test_a_forged_payload_is_refused_before_anything_is_allocated(codec: ImageCodec) -> None:
    """Pictures of another size, kind or depth than the header says, a lossy one, and none."""
    data = codec.compress(picture_of(33, 21).pixels)
    lossy, wide = io.BytesIO(), np.zeros((9000, 9000, 3), np.uint8)
    Image.new("RGB", (33, 21)).save(lossy, "WEBP")
    forged = [
        planes._png(wide),
        planes._webp(wide),
        planes._png(np.zeros((21, 33), np.uint8)),
        planes._png(np.zeros((21, 33), np.uint16)),
        planes._png(np.zeros((42, 33, 3), np.uint8)),
        lossy.getvalue(),
        b"",
    ]
    tracemalloc.start()
    for payload in forged:
        with pytest.raises(CorruptStreamError, match="33x21"):
            codec.decode(_with_payload(data, payload))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_other_samples_than_those_of_the_digest_are_refused(codec: ImageCodec) -> None:
    pixels = picture_of(33, 21).pixels
    data = codec.compress(pixels)
    other = planes.encode(255 - pixels)

    for check in (codec.decode, codec.verify):
        with pytest.raises(CorruptStreamError, match="digest"):
            check(_with_payload(data, other))
    sound = _with_payload(data, other, zlib.crc32((255 - pixels).tobytes()))
    assert np.array_equal(codec.decode(sound).picture.pixels, 255 - pixels)


def _invoke(*args: object) -> str:
    done = CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_commands(tmp_path: Path) -> None:
    picture, source = picture_of(60, 40), tmp_path / "a.png"
    picture.save(source)
    _invoke("compress", source, "--lossless")
    _invoke("verify", tmp_path / "a.lic")
    _invoke("decompress", tmp_path / "a.lic", "-o", tmp_path / "b.png")
    (record,) = json.loads(_invoke("info", tmp_path / "a.lic", "--json"))

    assert np.array_equal(read_picture(tmp_path / "b.png").pixels, picture.pixels)
    assert (record["codec"], record["profile"], record["quality"]) == ("lossless 1", "lossless", 100)
    assert "inf dB" in _invoke("run", "lossless", source, "-o", tmp_path / "out")
    _invoke("bench", "rd", "lossless", "--images", tmp_path / "out", "-o", tmp_path / "results")


@pytest.mark.parametrize("option", [("-q", "60"), ("--size", "9"), ("-p", "balanced"), ("--psnr", "40")])
def test_lossless_goes_with_no_other_wish(tmp_path: Path, option: tuple[str, str]) -> None:
    picture_of(8, 8).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="--lossless does not go with"):
        CliRunner().invoke(
            app,
            ["compress", str(tmp_path / "a.png"), "--lossless", *option],
            catch_exceptions=False,
            standalone_mode=False,
        )


def test_profiles_lists_it() -> None:
    (line,) = [line for line in _invoke("profiles").splitlines() if line.startswith("lossless ")]
    assert line.split()[1:6] == ["-"] * 5


def test_pillow_saves_with_it() -> None:
    image, out = Image.fromarray(picture_of(20, 10).pixels), io.BytesIO()
    image.save(out, "LIC", profile="lossless")

    assert np.array_equal(np.asarray(licframe.open(out.getvalue())), np.asarray(image))


def test_grey_16_bits_round_trip_through_the_front_door() -> None:
    samples = np.arange(600, dtype=np.uint16).reshape(20, 30) * 109
    data = licframe.load("lossless").compress(samples)

    assert np.array_equal(licframe.read(data).samples, samples)
    assert from_array(samples).depth == 16
