"""Registers the multi-scale progressive scheduler."""

from __future__ import annotations

import attrs
from attrs.validators import ge, in_, le

import licframe


@attrs.frozen
class Options:
    """Sizes of the multi-scale progressive model.

    Attributes:
        levels: how often the latent is sub-sampled by two, at most (small images use fewer).
        phases: steps in which a level's three new positions are coded.
        groups: channel numbers at which a new channel group begins, ascending.
        width: channels of the trunk; blocks: its residual 3x3 layers.
        hidden: channels of the hidden layer of each head.
    """

    levels: int = attrs.field(default=4, validator=[ge(1), le(8)])
    phases: int = attrs.field(default=2, validator=in_((2, 3)))
    groups: tuple[int, ...] = (16, 64)
    width: int = attrs.field(default=256, validator=ge(1))
    blocks: int = attrs.field(default=2, validator=ge(0))
    hidden: int = attrs.field(default=256, validator=ge(1))


@licframe.hookimpl
def licframe_context_schedulers() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="msp",
            version=1,
            summary="multi-scale progressive: coarse to fine, a fixed number of steps",
            options=Options,
            target="licframe_plugins.msp.context:MultiScaleProgressive",
        )
    ]
