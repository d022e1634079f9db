"""The filter of a picture: worth its bits, or not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from licframe.bitstream import container
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError
from licframe.evaluation.datasets import sample_picture
from licframe.evaluation.metrics import psnr
from licframe.picture.images import read_picture
from licframe.picture.tensors import tensor_of
from licframe_plugins.picture_filters import wiener


@pytest.fixture(scope="module")
def photograph() -> torch.Tensor:
    return tensor_of(read_picture(sample_picture()))[..., 100:260, 200:401]


def blurred(image: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(image, 3, 1, 1, count_include_pad=False)


@given(st.dictionaries(st.integers(0, wiener.SIZE - 1), st.integers(-1024, 1024), max_size=60))
def test_coefficients_come_back(values: dict[int, int]) -> None:
    steps = np.zeros(wiener.SIZE, np.int64)
    steps[list(values)] = list(values.values())

    assert np.array_equal(wiener.unpack(wiener.pack(steps)), steps)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused_or_a_filter(data: bytes) -> None:
    try:
        coefficients = wiener.unpack(data)
    except CorruptStreamError:
        return
    assert np.abs(coefficients).max(initial=0) <= 2048


def test_no_coefficient_changes_nothing(photograph: torch.Tensor) -> None:
    assert torch.equal(wiener.apply(photograph, np.zeros(wiener.SIZE, np.int64)), photograph)


def test_a_blur_is_partly_undone(photograph: torch.Tensor) -> None:
    decoded = blurred(photograph)
    found = wiener.fit(decoded, photograph, 1e5)
    assert found is not None
    before, after = (
        float((x - photograph).square().sum()) for x in (decoded, wiener.apply(decoded, found))
    )

    assert after < 0.65 * before


def test_bits_are_spent_only_where_they_pay(photograph: torch.Tensor) -> None:
    decoded = blurred(photograph)
    sizes = [
        0 if (found := wiener.fit(decoded, photograph, weight)) is None else np.count_nonzero(found)
        for weight in (1e-3, 10.0, 1e3, 1e5)
    ]

    assert sizes[0] == 0
    assert sizes == sorted(sizes)
    assert sizes[-1] > 20
    assert wiener.fit(photograph, photograph, 1e6) is None


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 1), (7, 300)])
def test_any_size(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, *shape, generator=generator)
    found = wiener.fit(image * 0.7 + 0.1, image, 1e9)

    assert found is not None
    assert wiener.apply(image, found).shape == image.shape


def test_strips_do_not_show(photograph: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = wiener.fit(blurred(photograph), photograph, 1e5)
    assert found is not None
    whole = wiener.apply(photograph, found)
    monkeypatch.setattr(wiener, "_STRIP", 7 * photograph.shape[-1])

    assert torch.allclose(wiener.apply(photograph, found), whole, atol=1e-6)


def test_a_file_with_its_filter_is_nearer_to_the_original() -> None:
    picture = read_picture(sample_picture())
    with_filter, without = (
        load_latent("tiny", [f"picture_filter.plugin={name}"]) for name in ("wiener", "none")
    )
    files = [codec.encode(picture, Target(quality=50)).data for codec in (with_filter, without)]
    found = [container.read(data) for data in files]
    errors = [psnr(picture.pixels, without.decode(data).picture.pixels) for data in files]

    assert [list(file.streams) for file in found] == [["wiener 1"], []]
    assert found[0].payloads == found[1].payloads
    assert errors[0] > errors[1] + 0.05


@pytest.mark.slow
def test_a_target_size_holds_with_a_filter() -> None:
    picture = read_picture(sample_picture())
    codec = load_latent("tiny")
    plain = load_latent("tiny", ["picture_filter.plugin=none"])
    tight = len(plain.encode(picture, Target(quality=50)).data) + 3
    data = codec.encode(picture, Target(size=tight)).data

    assert len(data) <= tight
    # No room for the filter, so the picture is as good without it
    assert container.read(data).streams == {}


@pytest.mark.slow
def test_a_wild_filter_gives_a_picture() -> None:
    codec = load_latent("tiny")
    picture = read_picture(sample_picture())
    file = container.read(codec.encode(picture, Target(quality=0)).data)
    wild = container.File(
        file.header,
        file.payloads,
        streams={"wiener 1": container.Stream(wiener.pack(np.full(wiener.SIZE, 1024)))},
    )
    pixels = codec.decode(container.write(wild)).picture.pixels

    assert pixels.shape == picture.pixels.shape
