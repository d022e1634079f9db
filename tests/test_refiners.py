"""Refiners: budgets, relaxations, logs; that they are never worse is in the conformance kit."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from licframe.codec import scale
from licframe.codec.interface import Encoded
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.errors import ProfileError
from licframe.model.distortions import visual
from licframe.model.gains import lambda_of
from licframe.model.refinement import LatentObjective
from licframe.picture.tensors import tensor_of
from licframe.profile.profile import latent_profile
from licframe.runtime import precision
from licframe.testing.conformance import picture_of
from licframe_plugins.refiners.relaxations import RELAXATIONS

pytestmark = pytest.mark.slow


def problem_of(codec: LatentCodec, quality: int = 40, size: int = 64) -> LatentObjective:
    image = tensor_of(picture_of(size, size))
    return LatentObjective(codec.model, image, codec.model.analyse(image, quality).detach(), quality)


@pytest.mark.parametrize("name", RELAXATIONS)
def test_relaxations_stay_near_and_have_gradients(name: str) -> None:
    torch.manual_seed(0)
    residual = torch.linspace(-2.6, 2.6, 501, requires_grad=True)
    relaxed = RELAXATIONS[name].make(0.5, torch.Generator())(residual)
    relaxed.sum().backward()

    assert float((relaxed - residual).detach().abs().max()) <= (1.51 if name == "sga-plus" else 1.01)
    assert bool(residual.grad.isfinite().all())
    assert float(residual.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", ["sga", "sga-plus"])
def test_annealed_relaxations_end_in_rounding(name: str) -> None:
    torch.manual_seed(0)
    residual = torch.tensor([-1.9, -0.05, 0.02, 0.95, 2.1])
    generator = torch.Generator().manual_seed(0)
    relaxed = torch.stack([RELAXATIONS[name].make(1.0, generator)(residual) for _ in range(50)])

    assert float((relaxed.median(0).values - residual.round()).abs().max()) < 0.01


@pytest.mark.skipif(not precision.has_bfloat16(torch.device("cpu")), reason="no bfloat16 here")
def test_gradients_in_bfloat16_are_those_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a search follows points the same way, and what it is judged by is not rounded."""
    codec = load_latent("tiny")
    found = []
    for has in (True, False):
        monkeypatch.setattr(precision, "has_bfloat16", lambda _, has=has: has)
        problem = problem_of(codec, quality=90)
        latent = problem.analysed.requires_grad_()
        cost = problem.estimated_cost(latent, RELAXATIONS["straight-through"].make(0.0, torch.Generator()))
        found.append((*torch.autograd.grad(cost, latent), problem.true_cost(problem.analysed)))
    (short, judged), (full, expected) = found

    assert not torch.equal(short, full)
    assert torch.cosine_similarity(short.flatten(), full.flatten(), dim=0) > 0.98
    assert judged == expected


def test_searching_lowers_the_true_cost() -> None:
    codec = load_latent(
        "tiny", ["refiner.plugin=lof", "refiner.seconds=0", "refiner.steps=60", "refiner.run=60"]
    )
    problem = problem_of(codec)
    before = problem.true_cost(problem.analysed)
    refined = codec.refiner.refine(problem)

    assert problem.true_cost(refined) < 0.995 * before


def test_moves_lower_the_true_cost() -> None:
    codec = load_latent("tiny", ["refiner.plugin=rdo", "refiner.seconds=2"])
    problem = problem_of(codec)

    assert problem.true_cost(codec.refiner.refine(problem)) < problem.true_cost(problem.analysed)


def test_seconds_are_a_budget() -> None:
    codec = load_latent("tiny", ["refiner.plugin=lof", "refiner.seconds=0.5", "refiner.run=100000"])
    begin = time.monotonic()
    codec.refiner.refine(problem_of(codec))

    assert time.monotonic() - begin < 10


def test_steps_are_a_budget_and_results_repeat() -> None:
    settings = ["refiner.plugin=lof", "refiner.seconds=0", "refiner.steps=5", "refiner.run=3"]
    codec = load_latent("tiny", settings)
    first = codec.refiner.refine(problem_of(codec))
    problem = problem_of(codec)
    state = torch.get_rng_state()
    second = codec.refiner.refine(problem)

    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


def test_an_interrupted_search_goes_on(tmp_path: Path) -> None:
    settings = ["refiner.plugin=lof", "refiner.seconds=0", "refiner.run=40", f"refiner.log={tmp_path}"]
    codec = load_latent("tiny", [*settings, "refiner.steps=40"])
    problem = problem_of(codec)
    first = problem.true_cost(codec.refiner.refine(problem))
    again = load_latent("tiny", [*settings, "refiner.steps=1"])
    second = problem.true_cost(again.refiner.refine(problem_of(again)))
    (log,) = tmp_path.glob("*.jsonl")
    records = [json.loads(line) for line in log.read_text().splitlines()]

    assert second <= first < records[0]["cost"]
    assert any(r["kept"] and r.get("relaxation") == "sga-plus" for r in records)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["refiner.seconds=0"], "never end"),
        (["refiner.relaxations=['magic']"], "magic|must be in"),
        (["refiner.rates=[]"], "rates|>= 1"),
    ],
)
def test_impossible_searches_are_refused(settings: list[str], said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        latent_profile("tiny", ["refiner.plugin=lof", *settings])


def test_a_search_is_for_what_the_profile_was_trained_for() -> None:
    """The cost counts the profile's distortion, and a refined file costs less of it."""
    settings = [
        "training.distortion=visual",
        "refiner.plugin=lof",
        "refiner.seconds=60",
        "refiner.steps=12",
    ]
    codec = load_latent("tiny", settings)
    picture = picture_of(128, 128)
    image = tensor_of(picture)
    plain = load_latent("tiny", settings[:1]).encode(picture, Target(quality=40))
    refined = codec.encode(picture, Target(quality=40))
    problem = LatentObjective(
        codec.model, image, codec.model.analyse(image, 40).detach(), 40, distortion=visual
    )

    def cost(encoded: Encoded) -> float:
        decoded = tensor_of(codec.decode(encoded.data).picture)
        latent = scale.settings(40, None)[0].latent
        weight = float(lambda_of(torch.tensor(float(latent)))) * 128 * 128
        return encoded.information + weight * float(visual(decoded, image))

    assert problem.true_cost(problem.analysed) == pytest.approx(
        problem.estimated_cost(problem.analysed).item(), rel=0.1
    )
    assert cost(refined) < 0.995 * cost(plain)


def test_a_picture_too_small_for_a_distortion_is_searched_for_squared_error() -> None:
    settings = ["training.distortion=visual", "refiner.plugin=lof", "refiner.steps=4"]
    small = picture_of(64, 64)
    found = [
        load_latent("tiny", chosen).encode(small, Target(quality=40)).data
        for chosen in (settings, settings[1:])
    ]

    assert found[0] == found[1]
