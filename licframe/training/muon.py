"""The Muon optimiser (Jordan et al., 2024) for convolution weights, all matrices of a kind at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Sequence[Tensor], steps: int = 5) -> list[Tensor]:
    """Return matrices with the same singular vectors and singular values near one.

    Newton-Schulz iteration of order five in float32. All iterates are polynomials of the Gram matrix times the input,
    so the iteration runs on the smaller square matrices; those of equal size, of whatever inputs, go together.

    Args:
        matrices: stacks ``(K, rows, columns)``, rows at most columns.
    """
    a, b, c = _COEFFICIENTS
    inputs = [
        x.float() / (torch.linalg.vector_norm(x.float(), dim=(1, 2), keepdim=True) + 1e-7) for x in matrices
    ]
    found: list[Tensor] = list(inputs)
    order = sorted(range(len(inputs)), key=lambda i: inputs[i].shape[1])
    for rows, group in groupby(order, key=lambda i: inputs[i].shape[1]):
        members = list(group)
        gram = torch.cat([inputs[i] @ inputs[i].mT for i in members])
        product = identity = torch.eye(rows, dtype=gram.dtype, device=gram.device).expand_as(gram)
        for _ in range(steps):
            factor = torch.baddbmm(a * identity + b * gram, gram, gram, alpha=c)
            product = factor @ product
            gram = factor @ gram @ factor
        parts = product.split([len(inputs[i]) for i in members])
        for i, part in zip(members, parts, strict=True):
            found[i] = part @ inputs[i]
    return found


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; weights are seen as ``(out, in * k * k)``.

    A weight without a gradient counts as one whose gradient is zero.

    Args:
        lr: a number, or a scalar tensor on the weights' device.

    Attributes:
        found_inf: where set, a scalar tensor; above 0 the step changes no weight and gradients count as zero.
    """

    def __init__(self, params: Iterable[Tensor], lr: float | Tensor, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.found_inf: Tensor | None = None
        # The momenta of equal shapes in one tensor, each weight's state a view of it.
        self._stacks: list[list[tuple[list[Tensor], Tensor]]] = []
        for group in self.param_groups:
            stacks = []
            for (rows, columns), several in groupby(sorted(group["params"], key=_shape), key=_shape):
                members = list(several)
                stack = members[0].new_zeros(len(members), rows, columns)
                for p, own in zip(members, stack.unbind(), strict=True):
                    self.state[p]["momentum"] = _as(own, p)
                stacks.append((members, stack))
            self._stacks.append(stacks)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        fine = None if self.found_inf is None else self.found_inf == 0
        for group, stacks in zip(self.param_groups, self._stacks, strict=True):
            updates = []
            for members, momentum in stacks:
                gradient = torch.stack(
                    [_wide(torch.zeros_like(p) if p.grad is None else p.grad) for p in members]
                )
                gradient = gradient if fine is None else torch.where(fine, gradient, 0.0)
                momentum.lerp_(gradient, 1 - group["momentum"])
                updates.append(gradient.lerp_(momentum, group["momentum"]))
            rate = group["lr"] if fine is None else group["lr"] * fine
            weights, changes = [], []
            for (members, _), update in zip(stacks, orthogonalise(updates), strict=True):
                scale = [max(1.0, len(p) / p[0].numel()) ** 0.5 for p in members]
                changes += [_as(own, p) for own, p in zip(update.mul_(rate).unbind(), members, strict=True)]
                weights += members
                if max(scale) > 1:
                    torch._foreach_mul_(changes[-len(scale) :], scale)
            torch._foreach_sub_(weights, changes)


def _shape(p: Tensor) -> tuple[int, int]:
    """Return rows and columns, fewer rows than columns."""
    rows, columns = len(p), p[0].numel()
    return min(rows, columns), max(rows, columns)


def _wide(update: Tensor) -> Tensor:
    matrix = update.flatten(1)
    return matrix.mT if len(matrix) > matrix.shape[1] else matrix


def _as(matrix: Tensor, p: Tensor) -> Tensor:
    """Return a view of a wide matrix in a weight's shape."""
    return (matrix.mT if len(p) > p[0].numel() else matrix).unflatten(1, p.shape[1:])
