"""Muon in batches, rates by kind, state by name, steps that are left out."""

from __future__ import annotations

import pytest
import torch

from licframe.training import Optimiser
from licframe.training.muon import Muon, orthogonalise

pytestmark = pytest.mark.slow

SHAPES = ((8, 4, 3, 3), (8, 4, 3, 3), (6, 5, 3, 3), (40, 8, 1, 1), (16, 3, 1, 1), (8, 8, 1, 1))


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """The textbook form: one matrix, on the matrix itself."""
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


def test_in_batches_is_one_by_one() -> None:
    torch.manual_seed(0)
    stacks = [torch.randn(k, r, c) for k, r, c in ((3, 8, 36), (1, 8, 9), (2, 5, 5), (1, 1, 7))]
    for stack, found in zip(stacks, orthogonalise(stacks), strict=True):
        for matrix, one in zip(stack, found, strict=True):
            assert torch.allclose(one, orthogonalised(matrix), atol=1e-5)


def test_the_update_is_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise([torch.randn(1, 16, 144)])[0][0])

    assert values.max() < 1.3
    assert values.median() > 0.6


def test_a_step_is_that_of_single_matrices() -> None:
    """Three steps on weights of several shapes, tall ones among them, against the textbook form."""
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    expected = [w.detach().clone() for w in weights]
    momenta = [torch.zeros_like(w) for w in weights]
    optimiser = Muon(weights, lr=0.02)
    for _ in range(3):
        for k, w in enumerate(weights):
            w.grad = torch.randn_like(w)
            momenta[k] += 0.05 * (w.grad - momenta[k])
            update = (w.grad + 0.95 * (momenta[k] - w.grad)).flatten(1)
            rows, columns = update.shape
            wide = orthogonalised(update.T).T if rows > columns else orthogonalised(update)
            expected[k] -= 0.02 * max(1.0, rows / columns) ** 0.5 * wide.view_as(w)
        optimiser.step()

    for w, e, m in zip(weights, expected, momenta, strict=True):
        assert torch.allclose(w, e, atol=1e-5)
        assert torch.allclose(optimiser.state[w]["momentum"], m, atol=1e-6)


def parameters() -> dict[str, torch.nn.Parameter]:
    torch.manual_seed(0)
    named = {f"w{k}": torch.nn.Parameter(torch.randn(shape)) for k, shape in enumerate(SHAPES)}
    named |= {"b": torch.nn.Parameter(torch.randn(5)), "frozen": torch.nn.Parameter(torch.randn(5), False)}
    return named


def some_gradients(named: dict[str, torch.nn.Parameter], seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    for p in named.values():
        p.grad = torch.randn_like(p) if p.requires_grad else None
    return torch.tensor(1.0)


def test_state_is_by_name_and_goes_on() -> None:
    """Moments find their parameter though order and company changed; what is unknown begins anew."""
    named = parameters()
    first = Optimiser().over(named.items())
    first.set(1.0, 0.98)
    for seed in range(3):
        first.step(some_gradients(named, seed))
    saved = {name: {k: v.clone() for k, v in state.items()} for name, state in first.state().items()}
    others = {
        name: torch.nn.Parameter(p.detach().clone(), p.requires_grad) for name, p in reversed(named.items())
    }
    others["new"] = torch.nn.Parameter(torch.zeros(5))
    second = Optimiser().over(others.items())
    second.set(1.0, 0.98)
    restored = second.restore(saved | {"b": {"exp_avg": torch.zeros(9)}})
    assert restored == len(SHAPES)
    assert (
        Optimiser(matrices=None).over(named.items()).restore(saved) == 1
    )  # Muon's moments are not AdamW's
    assert second.restore(saved) == len(SHAPES) + 1
    for optimisers, several in ((first, named), (second, others)):
        optimisers.step(some_gradients({n: several[n] for n in sorted(named)}, 9))

    assert set(saved) == set(named) - {"frozen"}
    for name in saved:
        assert torch.allclose(others[name], named[name], atol=1e-6), name


def test_a_bad_gradient_changes_nothing() -> None:
    named = parameters()
    optimisers = Optimiser().over(named.items())
    optimisers.set(1.0, 0.98)
    optimisers.step(some_gradients(named, 0))
    before = {name: p.detach().clone() for name, p in named.items()}
    for bad in (float("nan"), float("inf")):
        for broken in ("w0", "b"):
            some_gradients(named, 1)
            named[broken].grad[0] = bad
            assert optimisers.step(torch.tensor(1.0)) == 1
        some_gradients(named, 1)
        assert optimisers.step(torch.tensor(bad)) == 1
    assert all(torch.equal(p, before[name]) for name, p in named.items())
    some_gradients(named, 2)
    assert optimisers.step(torch.tensor(1.0)) == 0
    assert all(torch.isfinite(p).all() for p in named.values())
    assert not torch.equal(named["w0"], before["w0"])
    assert not torch.equal(named["b"], before["b"])


def test_gradients_of_adam_are_clipped_together() -> None:
    """A hundred times the gradient takes the same step: both are longer than one."""
    steps = []
    for scale in (1.0, 100.0):
        named = {"a": torch.nn.Parameter(torch.zeros(8)), "b": torch.nn.Parameter(torch.zeros(3))}
        optimisers = Optimiser().over(named.items())
        optimisers.set(1.0, 0.98)
        for seed in (0, 1):
            some_gradients(named, seed)
            for p in named.values():
                p.grad *= scale * (4.0 if seed else 1.0)
            optimisers.step(torch.tensor(1.0))
        steps.append(torch.cat([p.detach() for p in named.values()]))

    assert torch.allclose(*steps, rtol=1e-4)


def test_rates_and_optimisers_are_arguments() -> None:
    named = {n: torch.nn.Parameter(torch.ones(4, 4, 3, 3)) for n in ("adam", "muon")}
    moved = {}
    for name, matrices in (("adam", None), ("muon", Muon)):
        optimisers = Optimiser(rates={"matrix": 0.5}, matrices=matrices).over([(name, named[name])])
        optimisers.set(0.1, 0.9)
        optimisers.step(some_gradients({name: named[name]}, 0))
        moved[name] = float((named[name].detach() - 1).abs().max())
        assert optimisers.state()[name].keys() >= ({"momentum"} if matrices else {"exp_avg", "exp_avg_sq"})
    with pytest.raises(ValueError, match="kinds are matrix"):
        Optimiser(rates={"matrx": 1.0})
    nothing = Optimiser(rates={"linear": 1.0}).over(named.items())

    assert moved["adam"] == pytest.approx(0.05, rel=1e-3)
    assert nothing.parameters == {}
