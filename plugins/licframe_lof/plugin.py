"""Registers the refiners."""

from __future__ import annotations

import attrs

import licframe


@attrs.frozen
class NoneOptions:
    """Nothing to choose."""


@licframe.hookimpl
def licframe_refiners() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="none",
            version=1,
            summary="no search: the latent that the analysis gives",
            options=NoneOptions,
            target="licframe_lof.none:NoRefinement",
        )
    ]
