"""Registers the improved checkerboard."""

from __future__ import annotations

import attrs
from attrs.validators import ge

import licframe


@attrs.frozen
class Options:
    """Sizes of the checkerboard scheduler.

    Attributes:
        hyper: channels of the hyper-latent z; width: of the features that it is turned into.
        hidden: channels of the hidden layers of both parameter networks.
    """

    hyper: int = attrs.field(default=64, validator=ge(1))
    width: int = attrs.field(default=64, validator=ge(1))
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
