"""Lossy profiles keep a picture without loss where that takes no more bytes, and say what a file is."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import licframe
import licframe.pillow
from licframe.bitstream import container
from licframe.cli.app import app
from licframe.codec import fallback, notes
from licframe.codec.encoding import Encoding
from licframe.codec.fallback import may_fit
from licframe.codec.interface import ImageCodec
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_for, load_latent
from licframe.codec.target import Target
from licframe.errors import LimitError, PluginLoadError, UsageError, WeightsMismatchError
from licframe.evaluation.codecs import codec_named
from licframe.picture.images import Picture, from_array, read_picture
from licframe.profile.profile import latent_profile, load_profile
from licframe.registry.discovery import registry
from licframe.testing.codec_conformance import of_mode, picture_of


def _page(height: int, width: int) -> NDArray[np.uint8]:
    """Lines of what looks like words, black on white, grey."""
    rng, page = np.random.default_rng(0), np.full((height, width), 255, np.uint8)
    for top in range(4, height - 8, 12):
        ink = rng.random((7, width // 2)) < 0.5
        page[top : top + 7, : 2 * (width // 2)] = np.where(np.repeat(ink, 2, 1), 0, 255)
    page[:, width // 3 : width // 2] = 255
    return page


def _smooth_noise(height: int, width: int) -> NDArray[np.uint8]:
    """Noise of all sizes, the larger the stronger, and a little of the finest: as a photograph has it."""
    rng, found = np.random.default_rng(1), np.zeros((height, width, 3))
    for side in (4, 8, 16, 32):
        coarse = rng.normal(0, 3 * side**0.5, (-(-height // side), -(-width // side), 3))
        image = [
            Image.fromarray(coarse[..., i].astype(np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            for i in range(3)
        ]
        found += np.stack(image, -1)
    return (128 + found + rng.normal(0, 2, found.shape)).clip(0, 255).astype(np.uint8)


PICTURES = {
    "page": _page(90, 130),
    "flat": np.full((96, 128, 3), (20, 160, 60), np.uint8),
    "checker": (np.indices((90, 120)).sum(0) % 2 * 255).astype(np.uint8),
    "noise": np.random.default_rng(2).integers(0, 256, (60, 50, 3)).astype(np.uint8),
    "tiles": np.tile(np.random.default_rng(3).integers(0, 256, (20, 20, 3)).astype(np.uint8), (8, 9, 1)),
    "photograph": _smooth_noise(96, 128),
    "pixel": np.full((1, 1, 3), 77, np.uint8),
}


@pytest.fixture(scope="module")
def either() -> ImageCodec:
    return licframe.load("tiny")


def _webp(samples: NDArray[np.uint8]) -> int:
    out = io.BytesIO()
    Image.fromarray(samples).save(out, "WEBP", lossless=True, quality=90, method=5)
    return len(out.getvalue())


@pytest.mark.parametrize("quality", [0, 50, 90, 100])
@pytest.mark.parametrize("name", PICTURES)
def test_no_file_is_larger_than_a_lossless_webp(either: ImageCodec, name: str, quality: int) -> None:
    picture = from_array(PICTURES[name])
    encoded = either.encode(picture, Target(quality=quality))
    decoded = either.decode(encoded.data).picture

    assert len(encoded.data) <= _webp(PICTURES[name]) + 100
    assert np.array_equal(licframe.read(encoded.data).samples, decoded.samples)
    assert encoded.lossless == bool(container.read_header(encoded.data).codec)
    assert encoded.quality == (100 if encoded.lossless else quality)
    assert encoded.lossless == any("without loss" in note for note in encoded.notes)
    assert not encoded.lossless or np.array_equal(decoded.samples, picture.samples)
    either.verify(encoded.data)


def test_which_pictures_are_kept_without_loss(either: ImageCodec) -> None:
    kept = {
        name for name in PICTURES if either.encode(from_array(PICTURES[name]), Target(quality=100)).lossless
    }
    assert kept >= {"page", "flat", "checker", "tiles"}
    assert "photograph" not in kept


def test_what_costs_the_same_is_kept_without_loss(either: ImageCodec) -> None:
    picture = from_array(PICTURES["flat"])
    assert isinstance(either, fallback.FallbackCodec)
    size = len(either.lossless.encode(picture).data)

    def lossy(extra: int, quality: int = 20) -> ImageCodec:
        plain = attrs.evolve(either.lossy.encode(picture), quality=quality)
        made = attrs.evolve(plain, data=plain.data[:1] * (size + extra))
        other = fallback.FallbackCodec(either.lossy, either.lossless, either.label)
        other.lossy = type("", (), {"encode": lambda *_: made})()  # type: ignore[assignment]
        return other

    assert lossy(0).encode(picture).lossless
    assert not lossy(-1).encode(picture).lossless
    assert lossy(-64, 21).encode(picture).lossless
    assert not lossy(-65, 21).encode(picture).lossless
    assert not lossy(-1, 21).encode(picture, Target(psnr=20)).lossless


@pytest.mark.parametrize("size", [(1, 1), (16, 17), (3, 60), (100, 70)])
def test_a_picture_of_one_colour_stays_so(either: ImageCodec, size: tuple[int, int]) -> None:
    """A lossy file of a few bytes less would be off by up to 18 levels."""
    for quality in (21, 40, 57):
        for colour in ((201, 13, 90), (90, 201, 13), (128, 128, 128)):
            picture = from_array(np.full((*size, 3), colour, np.uint8))
            found = either.decode(either.encode(picture, Target(quality=quality)).data).picture
            assert np.abs(found.pixels.astype(int) - colour).max() <= 1


def test_it_can_be_switched_off() -> None:
    codec = licframe.load("tiny", ["encoder.lossless_fallback=false"])
    encoded = codec.encode(from_array(PICTURES["checker"]))

    assert isinstance(codec, LatentCodec)
    assert not encoded.lossless
    assert container.read_header(encoded.data).codec == ""


def test_it_is_a_setting_of_the_encoder_alone(codec: LatentCodec, either: ImageCodec) -> None:
    """Weights and files of pictures that are not kept without loss are those of the codec without it."""
    on, off = (
        latent_profile("tiny", [f"encoder.lossless_fallback={value}"]) for value in ("true", "false")
    )
    picture = from_array(PICTURES["photograph"])

    assert on.structure() == off.structure()
    assert [p.tables()["encoder"]["lossless_fallback"] for p in (on, off)] == [True, False]
    assert either.encode(picture).data == codec.encode(picture).data


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("mode", container.MODES)
def test_modes_depths_alpha_and_metadata_are_kept(either: ImageCodec, mode: str, depth: int) -> None:
    whole = of_mode(picture_of(96, 64), mode, depth)
    picture = attrs.evolve(whole, pixels=np.zeros_like(whole.pixels))
    encoded = either.encode(picture)
    found = either.decode(encoded.data).picture

    assert encoded.lossless
    assert (found.mode, found.depth, found.metadata) == (mode, depth, whole.metadata)
    assert np.array_equal(found.samples, picture.samples)
    assert np.array_equal(licframe.read(encoded.data).samples, picture.samples)


def test_what_nobody_sees_is_not_counted() -> None:
    hidden = Picture(PICTURES["noise"], {}, np.zeros((60, 50), np.uint8))

    assert may_fit(hidden, 50)
    assert not may_fit(from_array(PICTURES["noise"]), 50)


def test_targets(either: ImageCodec) -> None:
    """Of size: without loss is the best that is within it. Of PSNR: whichever is smaller."""
    page, photograph = from_array(PICTURES["page"]), from_array(PICTURES["photograph"])
    whole = either.encode(page)
    assert whole.lossless
    size = len(whole.data)

    assert either.encode(page, Target(size=size)).data == whole.data
    assert either.encode(page, Target(bpp=8 * (size + 40) / page.pixels.size)).data == whole.data
    assert either.encode(page, Target(psnr=20.0)).data == whole.data
    assert either.encode(page, Target(psnr=500.0)).data == whole.data
    assert not either.encode(photograph, Target(psnr=25.0)).lossless
    assert not either.encode(photograph, Target(size=4000)).lossless
    assert either.encode(photograph, Target(size=400_000)).lossless
    assert either.encode(photograph, Target(psnr=90.0)).lossless
    with pytest.raises(LimitError, match="at quality 0"):
        either.encode(photograph, Target(size=20))
    with pytest.raises(UsageError):
        either.encode(page, Target(quality=101))


def test_the_estimate_says_no_of_photographs_at_once(monkeypatch) -> None:
    """One fast file of windows, however large the photograph is."""
    made = []
    real = fallback._webp_size
    monkeypatch.setattr(fallback, "_webp_size", lambda seen, how: made.append(seen.size) or real(seen, how))
    photograph = from_array(_smooth_noise(700, 600))

    assert not may_fit(photograph, photograph.pixels.size / 10)
    assert made == [256 * 256 * 3]


@pytest.mark.parametrize("name", PICTURES)
def test_the_estimate_never_rules_out_what_fits(either: ImageCodec, name: str) -> None:
    picture = from_array(PICTURES[name])
    size = len(licframe.load("lossless").compress(picture))

    assert may_fit(picture, size)


def test_a_strip_that_webp_cannot_hold_is_not_ruled_out() -> None:
    strip = np.random.default_rng(0).integers(0, 256, (20_000, 1)).astype(np.uint8).repeat(2, 1)

    assert may_fit(from_array(strip), 30_000)


def test_files_of_both_kinds_find_their_codec(either: ImageCodec) -> None:
    data = either.compress(PICTURES["flat"])
    header = container.read_header(data)

    for codec in (load_for(header), load_for(header, "tiny"), load_for(header, None, "distilled")):
        assert np.array_equal(codec.decode(data).picture.samples, PICTURES["flat"])
    unknown = attrs.evolve(header, codec="nobody-has-this 9")
    with pytest.raises(WeightsMismatchError, match="no other decoder"):
        load_for(unknown, None, "distilled")


def test_only_lossy_codecs_of_lic_files_fall_back(tmp_path: Path, monkeypatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text('[codec]\nplugin = "webp"\n[encoder]\nlossless_fallback = true\n')

    assert licframe.load("lossless").capabilities.lossless
    assert not isinstance(licframe.load("lossless"), fallback.FallbackCodec)
    assert licframe.load(other).suffix == ".webp"
    assert isinstance(codec_named("tiny").codec, LatentCodec), "curves have no points without loss"

    part = registry().parts["codec"]["lossless"].part

    def broken(*_: object) -> None:
        raise PluginLoadError("no WebP")

    monkeypatch.setattr("licframe.codec.loading.load_class", lambda p: broken if p == part else None)
    from licframe.codec.loading import _with_fallback

    lossy = codec_named("tiny").codec
    assert _with_fallback(lossy) is lossy


def test_the_profile_says_what_is_wrong() -> None:
    with pytest.raises(licframe.LicframeError, match="lossless_fallback"):
        load_profile("tiny", ["encoder.lossless_fallback=1"])
    with pytest.raises(licframe.LicframeError, match="lossless_fallback"):
        load_profile("tiny", ["encoder.fallback=true"])


# -- commands and notes -----------------------------------------------------------------------------


def _invoke(*args: object) -> str:
    done = CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_commands_say_so(tmp_path: Path) -> None:
    source, file = tmp_path / "a.png", tmp_path / "a.lic"
    Image.fromarray(PICTURES["page"]).save(source)
    said = _invoke("compress", source, "-p", "tiny")
    (record,) = json.loads(_invoke("compress", source, "-p", "tiny", "--overwrite", "--json"))
    (info,) = json.loads(_invoke("info", file, "--json"))
    run = json.loads(_invoke("run", "tiny", source, "-o", tmp_path / "out", "--json"))
    table = _invoke("run", "tiny", source, "-o", tmp_path / "out", "--overwrite")
    _invoke("verify", file)
    _invoke("decompress", file, "-o", tmp_path / "b.png")

    assert "kept without loss" in said
    assert "note: the picture is kept without loss" in table
    for found in (record, run):
        assert found["lossless"] is True
        assert "without loss" in found["notes"][0]
    assert (info["codec"], info["lossless"], info["quality"]) == ("lossless 1", True, 100)
    assert np.array_equal(read_picture(tmp_path / "b.png").samples, PICTURES["page"])


def test_commands_say_where_a_picture_is_lossy(tmp_path: Path) -> None:
    source, off = tmp_path / "a.png", ("--set", "encoder.lossless_fallback=false")
    Image.fromarray(PICTURES["page"]).save(source)
    (record,) = json.loads(_invoke("compress", source, "-p", "tiny", "-q", "50", "--json", *off))
    (info,) = json.loads(_invoke("info", tmp_path / "a.lic", "--json"))
    run = json.loads(_invoke("run", "tiny", source, "-q", "50", "-o", tmp_path / "out", "--json", *off))
    unfiltered = ("--set", "picture_filter.plugin=none", *off)
    table = _invoke("run", "tiny", source, "-q", "50", "-o", tmp_path / "out", "--overwrite", *unfiltered)

    assert (info["codec"], info["lossless"]) == ("latent", False)
    assert record["notes"] == run["notes"], "once"
    assert len(run["notes"]) == 1
    assert f"has {run['psnr_db']:.1f} dB PSNR, little for quality 50" in run["notes"][0]
    assert "dB PSNR, little for quality 50" in table, "where nothing but the decoder shows it"


def test_poor_pictures_are_told_of(codec: LatentCodec) -> None:
    page = from_array(PICTURES["page"])
    encoded = codec.encode(page, Target(quality=50))
    shown = page.psnr(codec.decode(encoded.data).picture.pixels)

    assert shown < 30
    assert encoded.notes == notes.of_profile(codec.profile, shown, 50)
    assert codec.encode(page, Target(quality=49)).notes == ()
    eyes = load_latent("tiny", ["training.distortion=visual"])
    assert notes.of_profile(eyes.profile, 26.0, 50) == (), (
        "trained for something else than the squared error"
    )
    assert notes.of_profile(eyes.profile, 23.0, 50) != ()
    flat = codec.encode(from_array(PICTURES["flat"]), Target(quality=100))
    assert flat.notes == ()


def test_what_is_hidden_hides_no_error(codec: LatentCodec) -> None:
    """PSNR counts what is seen: a poor corner of a picture that is transparent elsewhere is poor."""
    pixels, alpha = np.full((96, 128), 128, np.uint8), np.zeros((96, 128), np.uint8)
    pixels[:16, :16], alpha[:16, :16] = PICTURES["checker"][:16, :16], 255
    encoded = codec.encode(Picture(pixels, {}, alpha), Target(quality=50))

    assert len(encoded.notes) == 1
    hidden = Picture(pixels, {}, 0 * alpha)
    assert notes.of_synthesised(codec.profile, hidden, 50, 0.5, lambda: math.inf) == ()


def test_nothing_is_synthesised_for_a_good_picture(codec: LatentCodec, monkeypatch) -> None:
    """The filter's fit has looked at it."""
    calls, real = [], Encoding._shown
    monkeypatch.setattr(Encoding, "_shown", lambda *args: calls.append(1) or real(*args))
    encoded = codec.encode(from_array(_smooth_noise(64, 64)), Target(quality=50))

    assert encoded.notes == ()
    assert len(calls) == 1


def test_pillow_reads_what_was_kept() -> None:
    out = io.BytesIO()
    Image.fromarray(PICTURES["checker"]).save(out, "LIC", profile="tiny", quality=100)

    assert np.array_equal(np.asarray(licframe.open(out.getvalue())), PICTURES["checker"])
