"""Residual blocks with deformable convolutions (the DRM of arXiv 2309.02529; our reading).

The paper puts deformable convolution inside residual blocks to widen what they see. Here the inner layers of
the blocks at 1/8 and 1/16 of the linear hierarchy are deformable, in analysis and synthesis.
"""

from __future__ import annotations

from torch import nn

from licframe_plugins.residual.transform import Removed, ResidualTransform

from .convolution import DeformConv
from .plugin import Options


class DeformableTransform(ResidualTransform):
    """The residual transform with deformable inner layers at 1/8 and 1/16; stride 16."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        for blocks in (self.analysis_blocks, self.synthesis_blocks):
            for block in list(blocks)[1:]:
                if isinstance(block, Removed):
                    continue
                width = block.first.out_channels
                block.inner = nn.ModuleList(DeformConv(width, width) for _ in block.inner)
                for layer in block.inner:
                    layer.weight.data *= 0.5  # as in the residual transform: blocks start small
