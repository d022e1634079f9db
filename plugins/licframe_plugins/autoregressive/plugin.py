"""Registers the serial autoregressive scheduler."""

from __future__ import annotations

import attrs
from attrs.validators import ge, in_

import licframe


@attrs.frozen
class Options:
    """Sizes and order of the serial scheduler.

    Attributes:
        hyper: channels of the hyper-latent z; width: of the features that it is turned into.
        context: channels of the 5x5 causal layer; hidden: of the parameter network.
        order: "raster", one position at a time, or "wavefront", independent diagonals together. Both
            give the same symbols, in another order in the file.
    """

    hyper: int = attrs.field(default=64, validator=ge(1))
    width: int = attrs.field(default=64, validator=ge(1))
    context: int = attrs.field(default=128, validator=ge(1))
    hidden: int = attrs.field(default=192, validator=ge(1))
    order: str = attrs.field(default="raster", validator=in_(("raster", "wavefront")))


@licframe.hookimpl
def licframe_context_schedulers() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="autoregressive",
            version=1,
            summary="hyperprior and 5x5 causal context, one position after another: the serial yardstick",
            options=Options,
            target="licframe_plugins.autoregressive.context:Autoregressive",
        )
    ]
