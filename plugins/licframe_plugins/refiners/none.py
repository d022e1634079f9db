"""The refiner that leaves the latent as it is."""

from __future__ import annotations

from torch import Tensor

from licframe.parts import RefinementObjective, Refiner

from .plugin import NoneOptions


class NoRefinement(Refiner):
    """Return the latent of the analysis; costs nothing."""

    searches = False

    def __init__(self, options: NoneOptions) -> None:
        self.options = options

    def refine(self, objective: RefinementObjective) -> Tensor:
        return objective.analysed
