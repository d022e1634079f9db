"""The refiner that leaves the latent as it is."""

from __future__ import annotations

from torch import Tensor

from licframe.interfaces import Problem, Refiner

from .plugin import NoneOptions


class NoRefinement(Refiner):
    """Return the start; costs nothing."""

    def __init__(self, options: NoneOptions) -> None:
        self.options = options

    def refine(self, problem: Problem) -> Tensor:
        return problem.start
