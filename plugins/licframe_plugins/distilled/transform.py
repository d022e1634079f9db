"""The residual transform with a small synthesis, made by distillation (arXiv 2309.02529).

The analysis, the latent and so the files are the teacher's. Pass 3 of the paper's scheme removes the
decoder's blocks whose removal costs least and trains what is left on the teacher's results; here a block
may also keep only its most used inner channels.
"""

from __future__ import annotations

import torch
from torch import nn

from licframe.errors import WeightsMismatchError
from licframe_plugins.residual.transform import Removed, ResidualTransform, make_blocks

from .plugin import Options


class DistilledTransform(ResidualTransform):
    """The teacher's analysis and linear merges, with fewer and narrower blocks in the synthesis."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        channels = (48, options.merged, options.channels)
        self.synthesis_blocks = make_blocks(
            channels,
            options.synthesis_widths,
            options.synthesis,
            options.conditioned,
            options.synthesis_ends,
        )

    @torch.no_grad()
    def learn_from(self, teacher: nn.Module) -> None:
        """Start from a teacher's weights: shared layers, and of blocks with equal ends the channels that matter most.

        Raises:
            WeightsMismatchError: the analysis is not the teacher's.
        """
        state = teacher.state_dict()
        own = {k: v for k, v in self.state_dict().items() if "synthesis_blocks" not in k}
        for name, value in own.items():
            if name not in state or state[name].shape != value.shape:
                raise WeightsMismatchError(
                    f"the teacher has no {name} of shape {tuple(value.shape)}; give the student's [transform] the "
                    "teacher's channels, merged, widths and analysis"
                )
        self.load_state_dict({k: state[k] for k in own}, strict=False)
        for block, old in zip(self.synthesis_blocks, teacher.synthesis_blocks, strict=True):
            block.std.copy_(old.std)
            # One whose ends see less than the teacher's computes something else, and begins anew.
            if isinstance(block, Removed) or block.first.kernel_size != old.first.kernel_size:
                continue
            norms = old.last.weight.square().sum((0, 2, 3)) * old.first.weight.square().sum((1, 2, 3))
            keep = norms.topk(min(len(norms), block.first.out_channels)).indices.sort().values
            count = len(keep)
            block.first.weight[:count] = old.first.weight[keep]
            block.first.bias[:count] = old.first.bias[keep]
            block.last.weight[:, :count] = old.last.weight[:, keep]
            block.last.bias.copy_(old.last.bias)
            for layer, source in zip(block.inner, old.inner, strict=False):
                layer.weight[:count, :count] = source.weight[keep][:, keep]
                layer.bias[:count] = source.bias[keep]
            if block.conditioned and old.conditioned:
                layers = min(block.tone.shape[1], old.tone.shape[1])
                block.tone[:, :layers, :, :count] = old.tone[:, :layers][..., keep]
