"""Gains and the search for a quality."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from licframe.codec.target import Target, search
from licframe.errors import LimitError, UsageError
from licframe.model.gains import Gains, lambda_of


def test_lambda_runs_from_0_0018_to_0_18() -> None:
    lam = lambda_of(torch.tensor([0.0, 50.0, 100.0]))

    assert torch.allclose(lam, torch.tensor([0.0018, 0.018, 0.18]))


def test_gains_are_geometric_between_knots() -> None:
    gains = Gains(3)
    torch.nn.init.normal_(gains.log2_gain)
    knot = 100 / 7
    a, middle, b = gains(torch.tensor([knot, 1.5 * knot, 2 * knot]))[0]

    assert torch.allclose(a.log2(), gains.log2_gain[3], atol=1e-4)
    assert torch.allclose(middle, (a * b).sqrt(), rtol=1e-4)


def test_gain_times_inverse_is_one_at_the_start() -> None:
    gain, inverse = Gains(2)(torch.tensor([0.0, 37.0, 100.0]))

    assert torch.allclose(gain * inverse, torch.ones(3, 2))


@given(st.integers(1, 10**6))
def test_size_search_finds_the_best_that_fits(limit: int) -> None:
    def size(quality: float) -> int:
        return 1000 + int(quality) ** 2 * 50

    def found() -> float:
        return search(Target(size=limit), range(101), 50, 100, size, lambda _: 0.0)

    if limit < 1000:
        with pytest.raises(LimitError, match="at quality 0"):
            found()
        return
    quality = found()

    assert size(quality) <= limit
    assert quality == 100 or size(quality + 1) > limit


@given(st.floats(20.1, 60))
def test_psnr_search_finds_the_least_that_suffices(psnr: float) -> None:
    def shown(quality: float) -> float:
        return 20 + quality * 0.3

    def found() -> float:
        return search(Target(psnr=psnr), range(101), 50, 100, lambda _: 0, shown)

    if psnr > 50:
        with pytest.raises(LimitError, match="quality 100"):
            found()
        return
    quality = found()

    assert shown(quality) >= psnr
    assert quality == 0 or shown(quality - 1) < psnr


@pytest.mark.parametrize(
    "asked",
    [
        {"quality": "50"},
        {"quality": True},
        {"quality": math.nan},
        {"bpp": 0.0},
        {"bpp": math.inf},
        {"size": -3},
        {"size": 10.5},
        {"psnr": 30.0, "bpp": 1.0},
    ],
)
def test_impossible_targets_are_refused(asked: dict) -> None:
    with pytest.raises(UsageError):
        Target(**asked)


@pytest.mark.parametrize("quality", [101, -1, 49.5])
def test_a_profile_has_whole_qualities_from_0_to_100(codec, picture, quality: float) -> None:
    with pytest.raises(UsageError, match="from 0"):
        codec.encode(picture, Target(quality=quality))


@pytest.mark.parametrize("quality", [np.int64(50), np.uint8(50), np.float32(50), 50.0])
def test_a_quality_may_be_any_whole_number(quality: object) -> None:
    assert Target(quality=quality) == Target(quality=50)
    assert type(Target(quality=quality).quality) is int


def test_targets_are_met_where_neither_end_meets_them() -> None:
    """Bytes and fidelity are not monotone on odd pictures."""
    hump = search(Target(size=100), range(101), 50, 100, lambda q: 200 - 150 * (30 < q < 60), lambda _: 0.0)
    dip = search(Target(psnr=40), range(101), 50, 100, lambda _: 0, lambda q: 30 + 20.0 * (30 < q < 60))

    assert 30 < hump < 60
    assert 30 < dip < 60


@pytest.mark.parametrize("only", [1, 37, 100])
def test_of_small_pictures_every_quality_is_tried(only: int) -> None:
    size = search(Target(size=100), range(101), 50, 2**12, lambda q: 200 - 150 * (q == only), lambda _: 0.0)
    psnr = search(Target(psnr=40), range(101), 50, 2**12, lambda _: 0, lambda q: 30 + 20.0 * (q == only))

    assert (size, psnr) == (only, only)
