"""Every kind of picture through the codec: size, mode, depth, metadata and alpha come back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from licframe.bitstream import container
from licframe.codec.latent import LatentCodec
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError
from licframe.picture import alpha
from licframe.picture.images import Picture, from_array
from tests.conftest import noise_picture


def picture_of(mode: str, depth: int, width: int, height: int, seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    pixels = noise_picture(width, height, seed, grey="RGB" not in mode).pixels
    opacity = rng.integers(0, 256, (height, width)).astype(np.uint8) if "A" in mode else None
    if depth == 16:
        pixels = (pixels * np.uint16(257)) ^ rng.integers(0, 64, pixels.shape).astype(np.uint16)
        opacity = None if opacity is None else opacity * np.uint16(3)
    return Picture(pixels, {"icc": b"icc!", "exif": b"exif!", "xmp": b"xmp!"}, opacity)


@given(
    mode=st.sampled_from(container.MODES),
    depth=st.sampled_from([8, 16]),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
)
@settings(max_examples=40)
def test_round_trip(codec: LatentCodec, mode: str, depth: int, width: int, height: int) -> None:
    picture = picture_of(mode, depth, width, height)
    data = codec.encode(picture, Target(quality=90)).data
    found = codec.decode(data).picture

    codec.verify(data)
    assert (found.mode, found.depth, found.size) == (mode, depth, (width, height))
    assert found.metadata == picture.metadata
    assert found.pixels.dtype == picture.pixels.dtype
    if "A" in mode:
        assert np.array_equal(found.alpha, picture.alpha)


@pytest.mark.slow
@pytest.mark.parametrize("mode", container.MODES)
def test_16_bits_are_more_than_8(codec: LatentCodec, mode: str) -> None:
    """The same picture in both depths decodes to the same but for rounding, and 16 bits use their range."""
    shallow = picture_of(mode, 8, 96, 80)
    deep = Picture(
        shallow.pixels * np.uint16(257),
        {},
        None if shallow.alpha is None else shallow.alpha * np.uint16(257),
    )
    a = codec.decode(codec.encode(shallow, Target(quality=80)).data).picture
    b = codec.decode(codec.encode(deep, Target(quality=80)).data).picture

    assert np.abs(b.pixels / 257 - a.pixels).max() <= 0.51
    assert len(np.unique(b.pixels % 257)) > 100


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["constant", "noise", "mask"])
def test_alpha_plane(depth: int, kind: str) -> None:
    top = 2**depth - 1
    plane = {
        "constant": np.full((9, 11), top - 1),
        "noise": np.random.default_rng(0).integers(0, top + 1, (9, 11)),
        "mask": np.tri(9, 11) * top,
    }[kind].astype(f"u{depth // 8}")
    data = alpha.encode(plane)

    assert np.array_equal(alpha.decode(data, 9, 11, depth), plane)
    if kind == "constant":
        assert len(data) == depth // 8
    else:
        for height, width, other in ((9, 12, depth), (9, 11, 24 - depth)):
            with pytest.raises(CorruptStreamError, match="alpha plane"):
                alpha.decode(data, height, width, other)
    for wrong in (b"", data[: len(data) // 2] if kind != "constant" else b"abc", b"P" + data):
        with pytest.raises(CorruptStreamError, match="alpha plane"):
            alpha.decode(wrong, 9, 11, depth)


def test_alpha_is_coded_once(codec: LatentCodec, monkeypatch) -> None:
    calls = []
    real = alpha.encode
    monkeypatch.setattr(alpha, "encode", lambda plane: calls.append(1) or real(plane))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 4)).astype(np.uint8)
    codec.encode(from_array(pixels), Target(size=4000))
    assert len(calls) == 1


@given(seed=st.integers(0, 99), height=st.integers(1, 20), width=st.integers(1, 20))
@settings(max_examples=30)
def test_fill_keeps_what_is_visible(seed: int, height: int, width: int) -> None:
    torch.manual_seed(seed)
    image = torch.rand(1, 3, height, width)
    visible = torch.rand(1, 1, height, width) < seed / 100
    filled = alpha.fill(image, visible)

    assert torch.equal(filled * visible, image * visible)
    assert filled.isfinite().all()
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_transparent_pixels_cost_next_to_nothing(codec: LatentCodec) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (192, 192, 3)).astype(np.uint8)
    visible = np.zeros((192, 192), np.uint8)
    visible[:, :48] = 255

    def size(opacity: np.ndarray) -> int:
        return len(codec.encode(Picture(pixels, {}, opacity), Target(quality=80)).data)

    whole, quarter, nothing = size(np.full_like(visible, 255)), size(visible), size(np.zeros_like(visible))
    assert quarter < 0.5 * whole
    assert nothing < 0.05 * whole


def test_psnr_target_counts_what_is_visible(codec: LatentCodec) -> None:
    picture = picture_of("RGBA", 16, 64, 64)
    picture.alpha[:, 32:] = 0
    found = codec.decode(codec.encode(picture, Target(psnr=25.0)).data).picture
    seen = picture.alpha > 0
    error = np.square(found.pixels[seen] / 65535 - picture.pixels[seen] / 65535).mean()

    assert -10 * np.log10(error) >= 25.0


def test_best_effort_decodes_what_is_sound(codec: LatentCodec) -> None:
    picture = picture_of("RGBA", 8, 40, 30)
    data = bytearray(codec.encode(picture, Target(quality=50)).data)
    whole = codec.decode(bytes(data)).picture
    data[data.index(b"exif!")] ^= 1
    data[data.index(b"xmp!") + 40] ^= 1
    with pytest.raises(CorruptStreamError):
        codec.decode(bytes(data))
    decoded = codec.decode(bytes(data), best_effort=True)

    assert np.array_equal(decoded.picture.pixels, whole.pixels)
    assert decoded.picture.metadata == {"icc": b"icc!", "xmp": b"xmp!"}
    assert (decoded.picture.alpha == 255).all()
    assert len(decoded.damage) == 3
    assert "opaque" in decoded.damage[-1]


def test_what_nobody_sees_has_no_error() -> None:
    picture = Picture(np.zeros((2, 3), np.uint8), {}, np.zeros((2, 3), np.uint8))

    assert picture.psnr(np.full((2, 3), 255, np.uint8)) == math.inf
