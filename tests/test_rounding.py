"""Rounding by cost, against every choice."""

from __future__ import annotations

import pytest
import torch

from licframe.clock import Clock
from licframe.exact.layers import FRACTION
from licframe.loading import load
from licframe.rounding import cheapest
from licframe_mixtures.mixture import Mixture
from licframe_mixtures.plugin import MixtureOptions, SingleOptions
from licframe_mixtures.single import Gaussian, Student


@pytest.mark.parametrize(
    "model", [Gaussian(SingleOptions()), Student(SingleOptions()), Mixture(MixtureOptions())], ids=type
)
@pytest.mark.parametrize("step_bits", [3.0, 48.0])
def test_the_cheaper_of_two_neighbours_is_taken(model, step_bits: float) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (1, 5, 6, 7)
    residual = torch.randn(shape, generator=generator).double() * 2
    floats = torch.randn(1, len(model.kinds), *shape[1:], generator=generator)
    parameters = (floats.double() * 2**FRACTION).round()
    found = cheapest(residual, model, parameters, step_bits)

    def cost(symbols: torch.Tensor) -> torch.Tensor:
        bits = model.bits(symbols.float(), (parameters / 2**FRACTION).float())
        return bits.double() + step_bits * (symbols - residual).square()

    nearest = residual.round()
    nearer = nearest - nearest.sign()
    assert torch.allclose(cost(found), torch.minimum(cost(nearest), cost(nearer)), atol=1e-3)
    assert bool((found != nearest).any())


def test_without_a_price_it_is_the_nearest() -> None:
    residual = torch.tensor([[[[0.4, 0.6, -1.7, 2.5]]]]).double()
    parameters = torch.zeros(1, 2, 1, 1, 4).double()

    assert torch.equal(cheapest(residual, Gaussian(SingleOptions()), parameters, 0.0), residual.round())


def test_a_profile_decides() -> None:
    codecs = [load("tiny", [f"encoder.step_bits={bits}"]) for bits in (0, 8)]
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, 96, 96, generator=generator)
    with torch.inference_mode():
        latent = codecs[0].transform.analysis(image)
        coded = [codec.encode_latent(latent, 50, Clock()) for codec in codecs]

    assert len(coded[1].payload) < len(coded[0].payload)
