"""Registers the improved checkerboard."""

from __future__ import annotations

import attrs
from attrs.validators import ge

import licframe
from licframe_plugins.hyperprior.plugin import Options as HyperpriorOptions


@attrs.frozen
class Options(HyperpriorOptions):
    """Sizes of the checkerboard scheduler.

    Attributes:
        hyper, width: as in the hyperprior.
        hidden: channels of the hidden layers of both parameter networks.
    """

    hidden: int = attrs.field(default=160, validator=ge(1))


@licframe.hookimpl
def licframe_context_schedulers() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="checkerboard",
            version=1,
            summary="hyperprior and two passes, each with its own networks and entropy model",
            options=Options,
            target="licframe_plugins.checkerboard.context:Checkerboard",
        )
    ]
