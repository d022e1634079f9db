"""Rate-distortion optimised quantisation: greedy moves of decoded elements.

Whole-step moves towards zero and to either side are scored by the gradient of the cost, and proposed
together for one phase of positions at a time (every second row and column), the best first. A proposal
is kept where the true cost of the whole image fell; else a smaller share is tried.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from licframe.parts import RefinementObjective, Refiner

from .plugin import RdoOptions
from .relaxations import straight_through

_PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))


class RdoQuantisation(Refiner):
    """Greedy zeroing and moves by one step, in batches of a phase; never worse."""

    def __init__(self, options: RdoOptions) -> None:
        self.options = options

    def refine(self, objective: RefinementObjective) -> Tensor:
        end = time.monotonic() + self.options.seconds
        best, cost = objective.analysed, objective.true_cost(objective.analysed)
        share = self.options.share
        while time.monotonic() < end and share * best.numel() / len(_PHASES) >= 1:
            improved = False
            for phase in _PHASES:
                if time.monotonic() >= end:
                    break
                candidate = self._moved(objective, best, phase, share)
                found = objective.true_cost(candidate)
                if found < cost:
                    best, cost, improved = candidate, found, True
            if not improved:
                share /= 2
        return best

    @staticmethod
    def _moved(
        objective: RefinementObjective, latent: Tensor, phase: tuple[int, int], share: float
    ) -> Tensor:
        """Return the latent with the best-scored moves of one phase made."""
        decoded = objective.rounded(latent).requires_grad_()
        (gradient,) = torch.autograd.grad(
            objective.estimated_cost(decoded, straight_through(0.0, torch.Generator()), unit_slope=True),
            decoded,
        )
        per_step = gradient / objective.gain
        # Moving against the gradient by one step changes the cost by about -|gradient|.
        inside = torch.zeros_like(decoded, dtype=torch.bool)
        inside[..., phase[0] :: 2, phase[1] :: 2] = True
        score = torch.where(inside, per_step.abs(), 0.0)
        count = max(1, int(share * int(inside.sum())))
        chosen = score.flatten().topk(count).indices
        move = torch.zeros_like(decoded).flatten()
        move[chosen] = -per_step.flatten()[chosen].sign()
        return decoded.detach() + move.reshape(decoded.shape) / objective.gain
