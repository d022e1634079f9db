"""Registers the entropy models."""

from __future__ import annotations

import attrs

import licframe


@attrs.frozen
class GaussianOptions:
    """The Gaussian has nothing to choose."""


@licframe.hookimpl
def licframe_entropy_models() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="gaussian",
            version=1,
            summary="one Gaussian per element; 97 integer tables, 1/8 octave apart",
            options=GaussianOptions,
            target="licframe_mixtures.gaussian:Gaussian",
        )
    ]
