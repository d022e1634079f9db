"""A latent from a part of its payload: the first steps are decoded, the others are as predicted from them.

This works whatever the context scheduler: a step whose residuals are not known is taken at its predicted centres, and the
next is predicted from these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import attrs
import numpy as np
from torch import Tensor

from licframe.exact.coder import Decoder, EndOfPrefixError, PrefixDecoder
from licframe.exact.units import CENTRE_FRACTION
from licframe.model.interfaces import Step
from licframe.model.latent_coding import code_step, nothing_known
from licframe.model.latent_model import LatentModel
from licframe.runtime.clock import Clock


@attrs.frozen(eq=False)
class Preview:
    """A latent that is decoded in part.

    Attributes:
        y: see ``CodedLatent.y``.
        decoded: how many steps of its plan are decoded; steps: how many there are.
    """

    y: Tensor
    decoded: int
    steps: int


def levels(plan: Sequence[Step]) -> list[int]:
    """Return how many steps each level of a plan has, in coding order.

    A level is a run of steps of one tensor, on one grid, in one pass: of MSP one of its grids, of the others side information or a
    pass over the latent.
    """
    runs = groupby(plan, key=lambda step: (step.tensor, step.level, step.pass_index))
    return [len(list(run)) for _, run in runs]


def decode(
    model: LatentModel,
    payload: bytes,
    quality: int,
    shape: Sequence[int],
    clock: Clock,
    *,
    leave_out: int = 0,
    cut: bool = False,
    flags: bool = True,
    given: Mapping[str, Tensor] | None = None,
) -> Preview:
    """Return a latent of ``shape`` rows and columns, as far as it is wanted and there.

    Args:
        leave_out: how many of the last levels are not decoded; the first always is.
        cut: the payload may end early; steps are decoded as far as its bytes prove them.
        flags, given: see ``latent_coding.decode``.

    Raises:
        CorruptStreamError: a payload that is not cut is damaged.
    """
    plan = model.scheduler.plan(*shape)
    runs = levels(plan)
    wanted = sum(runs[: max(1, len(runs) - leave_out)])
    coder = PrefixDecoder(payload) if cut else Decoder(payload)
    channels = model.transform.latent_channels
    live = np.ones(channels, dtype=bool)
    decoded = 0
    if flags:
        try:
            live = ~coder.code_flags(channels)
        except EndOfPrefixError:
            wanted = 0

    def fix(step: Step, parameters: Tensor) -> Tensor:
        nonlocal decoded, wanted
        parameters = parameters.cpu()
        with clock("coding", inside="context"):  # which ends it when its time is over
            values = model.coding_model(step).exact_centre(parameters)
        if decoded < wanted:
            try:
                residual = code_step(coder, model, step, parameters, None, live, clock)
            except EndOfPrefixError:
                wanted = 0
            else:
                values = residual.mul_(2.0**CENTRE_FRACTION).add_(values)
                decoded += 1
        return values.to(model.device)

    with clock("context"):
        shapes = {"y": (channels, *shape), **model.scheduler.side_shapes(*shape)}
        known = nothing_known(model, quality, {name: (1, *size) for name, size in shapes.items()}, given)
        model.walk(known, fix, plan)
    return Preview(known["y"].cpu(), decoded, len(plan))
