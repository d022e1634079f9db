"""Exact layers: integers, equal to plain int64 arithmetic, in any order of summation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from licframe.errors import NotExactError
from licframe.exact.layers import FRACTION, WEIGHT_SHIFT, ExactConv, ExactReLU
from tests.reference import exact_conv

BOUND = 8 * 2.0**FRACTION


def frozen(in_channels: int, out_channels: int, kernel: int, rows: int = 1, seed: int = 0) -> ExactConv:
    torch.manual_seed(seed)
    layer = ExactConv(in_channels, out_channels, kernel, rows)
    torch.nn.init.normal_(layer.bias)
    layer.freeze(BOUND)
    return layer


def integers(*shape: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(-int(BOUND), int(BOUND) + 1, shape).astype(np.float64))


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 6),
    st.sampled_from([1, 2, 5, 100]),
    st.integers(0, 99),
)
def test_frozen_layer_equals_int64_numpy(
    cin: int, cout: int, kernel: int, h: int, w: int, seed: int
) -> None:
    layer = frozen(cin, cout, kernel, rows=2, seed=seed)
    x = integers(1, cin, h, w, seed=seed)
    weight = (
        (layer.weight_exact * 2.0**WEIGHT_SHIFT).numpy().astype(np.int64).reshape(cout, cin, kernel, kernel)
    )
    for row in range(2):
        expected = exact_conv(
            x[0].numpy().astype(np.int64), weight, (layer.bias_exact[row] * 2.0**WEIGHT_SHIFT).numpy()
        )

        assert np.array_equal(layer(x, row)[0].detach().numpy(), expected)


def test_frozen_layer_follows_the_float_form() -> None:
    layer = frozen(16, 8, 3)
    x = integers(1, 16, 5, 7)
    floating = layer((x / 2.0**FRACTION).float()).detach().double()

    assert torch.allclose(layer(x).detach() / 2.0**FRACTION, floating, atol=0.02)


def test_result_does_not_depend_on_threads_batch_or_crop() -> None:
    layer = frozen(32, 16, 3)
    x = integers(3, 32, 12, 11)
    full = layer(x)
    torch.set_num_threads(1)
    try:
        assert torch.equal(layer(x), full)
    finally:
        torch.set_num_threads(2)
    assert torch.equal(layer(x[1:2]), full[1:2])
    assert torch.equal(layer(x[:, :, :6])[:, :, :5], full[:, :, :5])


def test_freezing_refuses_what_may_round() -> None:
    layer = ExactConv(4, 4)
    torch.nn.init.constant_(layer.weight, 2.0**20)

    with pytest.raises(NotExactError, match="2\\^53"):
        layer.freeze(2.0**20)


def test_freezing_refuses_nan() -> None:
    layer = ExactConv(4, 4)
    torch.nn.init.constant_(layer.weight, float("nan"))

    with pytest.raises(NotExactError):
        layer.freeze(BOUND)


def test_relu_clamps_in_both_forms() -> None:
    act = ExactReLU()

    assert act(torch.tensor([-1.0, 3.0, 1e9])).tolist() == [0.0, 3.0, 256.0]
    assert act(torch.tensor([-1.0, 3.0, 1e9], dtype=torch.float64)).tolist() == [
        0.0,
        3.0,
        256.0 * 2**FRACTION,
    ]
