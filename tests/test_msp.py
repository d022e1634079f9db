"""The multi-scale progressive scheduler: plans cover the latent, predictions are causal and exact."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from licframe.codec.loading import build
from licframe.exact.units import row_of
from licframe.model.interfaces import Known
from licframe.model.latent_model import LatentModel
from licframe.profile.profile import latent_profile


def scheduler(**options: int):
    model = build(latent_profile("tiny", [f"context_scheduler.{k}={v}" for k, v in options.items()]))
    return model.scheduler


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([2, 3]), st.integers(1, 5))
def test_plan_covers_every_element_once(h: int, w: int, phases: int, levels: int) -> None:
    model = _SCHEDULERS[phases, levels]
    covered = torch.zeros(1, 48, h, w)
    for step in model.plan(h, w):
        assert covered[step.index].numel() > 0
        covered[step.index] += 1
    assert (covered == 1).all()


_SCHEDULERS = {(p, v): scheduler(phases=p, levels=v) for p in (2, 3) for v in range(1, 6)}


def test_serial_passes_do_not_grow_with_the_image() -> None:
    model = scheduler(phases=2, levels=3)

    assert model.serial_passes(32, 48) == model.serial_passes(320, 480) == 1 + 3 * 2 * 2


@pytest.mark.parametrize("phases", [2, 3])
def test_prediction_sees_only_earlier_steps(untrained: LatentModel, phases: int) -> None:
    """Changing what is coded from a step on does not change that step's parameters."""
    torch.manual_seed(1)
    model = scheduler(phases=phases, levels=2)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    h, w = 7, 6
    gain, quality = torch.ones(1, 48), torch.full((1,), 50.0)
    latent = torch.randn(1, 48, h, w)
    steps = list(model.plan(h, w))

    def parameters(y: torch.Tensor) -> list[torch.Tensor]:
        known = Known(untrained.units.float_form(gain, quality), y=torch.zeros_like(y))
        out = []
        for step in steps:
            out.append(model.predict(step, known).detach())
            known.place(step, y[step.index])
        return out

    before = parameters(latent)
    for number in range(0, len(steps), 3):
        changed = latent.clone()
        for step in steps[number:]:
            changed[step.index] += 5
        after = parameters(changed)
        for k in range(number + 1):
            assert torch.equal(before[k], after[k])
        if number + 1 < len(steps):
            assert any(
                not torch.equal(a, b)
                for a, b in zip(before[number + 1 :], after[number + 1 :], strict=True)
            )


@settings(max_examples=15)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 100))
def test_exact_form_is_integer_and_follows_the_float_form(h: int, w: int, quality: int) -> None:
    from licframe.codec.loading import load_latent

    if not _loaded:
        _loaded["tiny"] = load_latent("tiny")
    model = _loaded["tiny"].model
    torch.manual_seed(h * 100 + w)
    gain = model.gain_table[row_of(quality)][None]
    y = (
        (torch.randn(1, 48, h, w) * model.units.std[:, None, None] * gain[..., None, None] * 64)
        .round()
        .double()
    )
    exact = Known(model.units.exact_form(quality), y=torch.zeros_like(y))
    floating = Known(
        model.units.float_form(gain, torch.full((1,), float(quality))), y=torch.zeros(1, 48, h, w)
    )
    with torch.no_grad():
        for step in model.scheduler.plan(h, w):
            integer = model.scheduler.predict(step, exact)
            assert integer.dtype == torch.float64
            assert torch.equal(integer, integer.round())
            real = model.scheduler.predict(step, floating)
            assert torch.allclose(integer[:, 1] / 4096, real[:, 1].double(), atol=0.05)
            exact.place(step, y[step.index])
            floating.place(step, (y[step.index] / 64).float())


_loaded: dict = {}
