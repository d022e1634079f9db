"""A refiner: a search for a better latent of this one picture.

What a refiner must have: ``refine``. It gets an objective, and returns a latent that costs no more than
``objective.analysed``, the one of the analysis. The cost is bits + lambda * distortion:

- ``objective.true_cost(latent)`` codes and decodes it: exact, without a derivative.
- ``objective.estimated_cost(latent)`` is nearly that, and has one: ``.backward()`` says where to go.

An encoder only runs it. A decoder never knows, no file format changes, and a refiner needs no weights: it works at once
on those of any profile.

Here the whole latent is made a little smaller, as long as that costs less. Where to go on: steps along the derivative
of ``estimated_cost``, each kept only where ``true_cost`` falls.
"""

from torch import Tensor

from licframe.parts import RefinementObjective, Refiner

from .plugin import ScalingOptions


class Scaling(Refiner):
    """Make the latent smaller, a per cent at a time, while that costs less."""

    def __init__(self, options: ScalingOptions) -> None:
        self.options = options

    def refine(self, objective: RefinementObjective) -> Tensor:
        best, cost = objective.analysed, objective.true_cost(objective.analysed)
        for trial in range(1, self.options.trials + 1):
            latent = objective.analysed * (1 - trial / 100)
            found = objective.true_cost(latent)
            if found >= cost:
                break
            best, cost = latent, found
        return best
