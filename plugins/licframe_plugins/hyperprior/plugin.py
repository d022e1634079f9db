"""Registers the hyperprior-only scheduler."""

from __future__ import annotations

import attrs
from attrs.validators import ge

import licframe


@attrs.frozen
class Options:
    """Sizes of the hyperprior.

    Attributes:
        hyper: channels of the hyper-latent z, at 1/4 of the latent's resolution.
        width: channels of the features that z is turned into; hidden: of the parameter network.
    """

    hyper: int = attrs.field(default=64, validator=ge(1))
    width: int = attrs.field(default=64, validator=ge(1))
    hidden: int = attrs.field(default=192, validator=ge(1))


@licframe.hookimpl
def licframe_context_schedulers() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="hyperprior",
            version=1,
            summary="side information only: the whole latent in one pass",
            options=Options,
            target="licframe_plugins.hyperprior.context:HyperpriorScheduler",
        )
    ]
