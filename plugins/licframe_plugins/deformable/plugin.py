"""Registers the deformable-residual transform."""

from __future__ import annotations

import attrs

import licframe
from licframe_plugins.residual.plugin import Options as ResidualOptions


@attrs.frozen
class Options(ResidualOptions):
    """Sizes of the deformable-residual transform.

    Attributes:
        channels, merged, widths, conditioned, conditioned_analysis: as in the residual transform.
        analysis: inner layers of the blocks at 1/4, 1/8 and 1/16, encoder side; those at 1/8 and 1/16 are
            deformable.
        synthesis: the same, decoder side.
    """


@licframe.hookimpl
def licframe_transforms() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="deformable-residual",
            version=1,
            summary="the residual transform with deformable convolutions at 1/8 and 1/16",
            options=Options,
            target="licframe_plugins.deformable.transform:DeformableTransform",
        )
    ]
