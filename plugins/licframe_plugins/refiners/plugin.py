"""Registers the refiners."""

from __future__ import annotations

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, in_, le, min_len

import licframe

_RELAXATIONS = ("noise", "straight-through", "sga", "sga-plus")


@attrs.frozen
class NoneOptions:
    """Nothing to choose."""


@attrs.frozen
class OverfittingOptions:
    """How long and where to search.

    Attributes:
        seconds: budget of an image; steps: budget in gradient steps. 0 is no limit; one is needed.
        run: gradient steps of one run, annealed from soft to hard.
        relaxations: what replaces rounding, in the order tried: noise, straight-through, sga, sga-plus.
        rates: learning rates in quantisation steps, in the order tried.
        seed: of the random numbers.
        log: folder for the objective against seconds and the best latent, from which an interrupted
            search goes on; empty for none.
        progress: whether to show a bar on a terminal.
    """

    seconds: float = attrs.field(default=30.0, validator=ge(0.0))
    steps: int = attrs.field(default=0, validator=ge(0))
    run: int = attrs.field(default=200, validator=[ge(1), le(100_000)])
    relaxations: tuple[str, ...] = attrs.field(
        default=("sga-plus", "sga"), validator=and_(min_len(1), deep_iterable(in_(_RELAXATIONS)))
    )
    rates: tuple[float, ...] = attrs.field(
        default=(0.012, 0.006), validator=and_(min_len(1), deep_iterable(gt(0.0)))
    )
    seed: int = 0
    log: str = ""
    progress: bool = True

    def __attrs_post_init__(self) -> None:
        if not (self.seconds or self.steps):
            raise ValueError("seconds and steps are both 0, so the search would never end; set one")


@attrs.frozen
class RdoOptions:
    """How long to search, and how boldly.

    Attributes:
        seconds: budget of an image.
        share: largest share of a phase's elements that is moved at once.
    """

    seconds: float = attrs.field(default=10.0, validator=gt(0.0))
    share: float = attrs.field(default=0.01, validator=[gt(0.0), le(1.0)])


@licframe.hookimpl
def licframe_refiners() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="none",
            version=1,
            summary="no search: the latent that the analysis gives",
            options=NoneOptions,
            target="licframe_plugins.refiners.none:NoRefinement",
        ),
        licframe.Part(
            name="lof",
            version=1,
            summary="latent overfitting by gradients, greedy over relaxations; never worse",
            options=OverfittingOptions,
            target="licframe_plugins.refiners.overfitting:LatentOverfitting",
        ),
        licframe.Part(
            name="rdo",
            version=1,
            summary="greedy moves of decoded elements in batches; never worse",
            options=RdoOptions,
            target="licframe_plugins.refiners.rdo:RdoQuantisation",
        ),
    ]
