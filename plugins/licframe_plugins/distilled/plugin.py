"""Registers the distilled decoder."""

from __future__ import annotations

import attrs
from attrs.validators import in_

import licframe
from licframe_plugins.residual.plugin import Options as ResidualOptions
from licframe_plugins.residual.plugin import three


@attrs.frozen
class Options(ResidualOptions):
    """Sizes of the teacher's analysis, and of the small synthesis.

    Attributes:
        channels, merged, widths, analysis, conditioned, conditioned_analysis: as in the teacher's residual transform.
        synthesis: inner layers of the blocks at 1/4, 1/8 and 1/16, decoder side.
        synthesis_widths: channels inside the decoder's blocks at 1/4, 1/8 and 1/16; 0 removes a block.
        synthesis_ends: size of the first and the last convolution of these blocks, 1 or 3. With 1 a block has one more
            inner layer for the same work.
    """

    synthesis: tuple[int, ...] = attrs.field(default=(0, 0, 0), validator=three)
    synthesis_widths: tuple[int, ...] = attrs.field(default=(16, 32, 0), validator=three)
    synthesis_ends: int = licframe.option_since(default=3, validator=in_((1, 3)))


@licframe.hookimpl
def licframe_transforms() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="distilled",
            version=1,
            summary="the residual transform's analysis and a synthesis several times smaller",
            options=Options,
            target="licframe_plugins.distilled.transform:DistilledTransform",
        )
    ]
