"""Mixtures: the integer form is the float form, rounded; probabilities sum to one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from licframe.errors import CorruptStreamError, LimitError, WeightsMismatchError
from licframe.exact.coder import LARGEST_RESIDUAL, Decoder, Encoder
from licframe.exact.layers import FRACTION
from licframe_plugins.entropy_models import mixture as module
from licframe_plugins.entropy_models.families import FAMILIES
from licframe_plugins.entropy_models.mixture import Mixture, bank_digest, make_bank
from licframe_plugins.entropy_models.plugin import GllmmOptions, MixtureOptions, SingleOptions
from licframe_plugins.entropy_models.scales import scale_index
from licframe_plugins.entropy_models.single import Gaussian, Laplace, Logistic, StudentT, make_tables

MODELS = {
    "gaussian": lambda: Gaussian(SingleOptions()),
    "laplace": lambda: Laplace(SingleOptions()),
    "logistic": lambda: Logistic(SingleOptions()),
    "student-t": lambda: StudentT(SingleOptions()),
    "gaussian-mixture": lambda: Mixture(MixtureOptions()),
    "gllmm": lambda: Mixture(GllmmOptions()),
}


def parameters(model, count: int, seed: int, log2_scale: float) -> torch.Tensor:
    """Random integer parameters ``(1, P, 1, 1, count)`` about a scale."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for kind in model.kinds:
        noise = torch.randn(count, generator=generator)
        rows.append(
            {"centre": noise * 2**log2_scale, "log2_scale": noise * 0.5 + log2_scale, "weight": noise}[kind]
        )
    return (torch.stack(rows)[None, :, None, None].double() * 2**FRACTION).round()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("log2_scale", [-2.0, 0.0, 4.0])
def test_float_probabilities_sum_to_one(name: str, log2_scale: float) -> None:
    model = MODELS[name]()
    floats = (parameters(model, 5, 0, log2_scale) / 2**FRACTION).float()
    grid = torch.arange(-1000.0, 1001.0).reshape(-1, 1, 1, 1).expand(-1, 1, 1, 5)
    bits = model.bits(grid, floats.expand(len(grid), *floats.shape[1:]))

    assert bits.shape == grid.shape
    assert torch.exp2(-bits).sum(0).numpy() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("log2_scale", [-2.0, 0.0, 4.0])
def test_integer_form_costs_what_the_float_form_says(name: str, log2_scale: float) -> None:
    model = MODELS[name]()
    exact = parameters(model, 20000, 1, log2_scale)
    centre = model.exact_centre(exact) / 64
    floats = (exact / 2**FRACTION).float()
    wanted = (
        (torch.randn(centre.shape, generator=torch.Generator().manual_seed(2)) * 2**log2_scale)
        .round()
        .double()
    )
    encoder = Encoder()
    residual = model.code(encoder, exact, wanted)
    bits = float(model.bits(residual.float(), floats).sum())

    # weights have twelve bits, centres six
    assert float((centre - model.centre(floats)).abs().max()) < 0.02 * max(1.0, 2**log2_scale)
    assert encoder.bits == pytest.approx(bits, rel=0.006)


@pytest.mark.slow
@given(
    st.sampled_from(sorted(MODELS)),
    st.integers(0, 10**6),
    st.sampled_from([-3.0, 0.0, 5.0]),
    st.sampled_from([0.2, 3.0, 3000.0, 1e6]),
)
def test_residuals_come_back(name: str, seed: int, log2_scale: float, spread: float) -> None:
    model = MODELS[name]()
    exact = parameters(model, 60, seed, log2_scale)
    wanted = (
        (torch.randn(1, 1, 1, 60, generator=torch.Generator().manual_seed(seed)) * spread).round().double()
    )
    encoder = Encoder()
    sent = model.code(encoder, exact, wanted)
    decoder = Decoder(encoder.finish())

    assert torch.equal(model.code(decoder, exact, None), sent)
    decoder.finish()
    # Only what is practically zero is not coded.
    assert torch.equal(torch.where(sent != wanted, 0.0, wanted), sent)


def test_weights_are_integers_that_sum_to_the_total() -> None:
    model = Mixture(GllmmOptions())
    logits = (torch.randn(1, 9, 2, 3, 4) * 5 * 2**FRACTION).round().double()
    weights = model._weights(logits)
    wanted = torch.softmax(logits / 2**FRACTION * np.log(2), 1)

    assert bool((weights.sum(1) == 2**12).all())
    assert bool((weights >= 0).all())
    assert float((weights / 2**12 - wanted).abs().max()) < 0.01


def test_too_large_a_residual_is_refused() -> None:
    model = Mixture(MixtureOptions())
    with pytest.raises(LimitError, match="quantisation steps from its prediction"):
        model.code(
            Encoder(),
            parameters(model, 1, 0, 0.0),
            torch.full((1, 1, 1, 1), LARGEST_RESIDUAL + 1.0).double(),
        )


def test_foreign_bytes_end() -> None:
    """Bytes that say "further" for ever are an error, not an endless loop."""
    model = Mixture(MixtureOptions())
    exact = parameters(model, 2000, 0, 5.0)
    for byte in (b"\x00", b"\xff", b"\x5a"):
        try:
            model.code(Decoder(byte * 4000), exact, None)
        except CorruptStreamError as error:
            assert "damaged" in str(error)


def test_banks_are_what_their_recipe_makes() -> None:
    """Shipped data equal the recipe up to its last bit, which may differ between machines."""
    tails, powers = make_bank()
    shipped = module._Bank("licframe_plugins.entropy_models", "mixture.npz")

    assert np.abs(shipped.powers.numpy() - powers).max() <= 1
    assert (
        np.abs(
            shipped.below.reshape(len(tails), -1)[:, shipped.reach :] - (2**16 - tails.astype(int))
        ).max()
        <= 1
    )
    assert bank_digest(tails, powers) != bank_digest(tails + 1, powers)
    for family in FAMILIES:
        for half, probabilities in make_tables(family):
            assert len(probabilities) == 2 * half + 2
            assert sum(probabilities) == pytest.approx(1.0)


def test_a_missing_bank_is_an_error() -> None:
    with pytest.raises(WeightsMismatchError, match="reinstall"):
        module._Bank("licframe_plugins.entropy_models", "nothing.npz")


def test_scales_are_rungs_of_a_ladder() -> None:
    log2_scales = (
        (torch.tensor([-9.0, np.log2(0.11), np.log2(0.11) + 1, 30.0]) * 2**FRACTION).round().double()
    )

    assert scale_index(log2_scales).tolist() == [0, 0, 8, 96]
