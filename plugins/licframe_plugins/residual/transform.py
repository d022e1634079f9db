"""A transform that begins as the best linear one and learns what it misses.

The principal components of 16x16x3 patches are the optimal linear codec of that block size. They
are factored into a hierarchy, so that networks can work between the levels::

    image -un-shuffle 4-> 4x4 components -block-> merge 2x2 -> 8x8 components -block-> merge 2x2
          -> C components of 16x16 -block-> latent

Each merge is a 1x1 convolution on un-shuffled features, set exactly from the bases of two block
sizes; the synthesis runs the transposes. The residual blocks end in a convolution that starts at
zero: before training, analysis and synthesis are the linear codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.parts import KNOTS, Transform, between_knots, full_precision, trained_as
from licframe_plugins.modules import Conv2d, ListOf

from .components import principal_components
from .plugin import Options

_OUTPUT_SCALE = 0.2
_PIXEL_OFFSET = 0.5


class Block(nn.Module):
    """``x + scale * f(x / std)`` with f: 3x3 in, ``depth`` residual 3x3 layers, 3x3 out; in and out ``ends`` wide.

    The scale is min(std, 0.2): the full standard deviation would let the DC channel drown the rest. A conditioned
    block scales and shifts its hidden channels by quality: how much of what it sees is rounding error depends on it.
    """

    std: Tensor

    def __init__(
        self, channels: int, width: int, depth: int, conditioned: bool = False, ends: int = 3
    ) -> None:
        super().__init__()
        self.register_buffer("std", torch.ones(channels))
        self.conditioned = conditioned
        if conditioned:  # modulation by quality: log2 of a scale, and an offset, of each hidden layer
            self.tone = trained_as("scale", nn.Parameter(torch.zeros(KNOTS, depth + 1, 2, width)))
        self.first = Conv2d(channels, width, ends, padding=ends // 2)
        # A transform may put other layers there.
        self.inner: ListOf[Any] = ListOf(Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.last = Conv2d(width, channels, ends, padding=ends // 2)
        for layer in (self.first, *self.inner):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="leaky_relu")
            nn.init.zeros_(layer.bias)
        for layer in self.inner:
            layer.weight.data *= 0.5
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def reach(self) -> int | None:
        """How far it sees, along each side; None where an inner layer is no plain convolution."""
        layers = (self.first, *self.inner, self.last)
        if not all(isinstance(layer, Conv2d) for layer in layers):
            return None
        return sum(layer.kernel_size[0] // 2 for layer in layers)

    def forward(self, x: Tensor, quality: Tensor | None = None) -> Tensor:
        # Scaling weights instead of features saves two passes over the features.
        scale = self.std.clamp_max(_OUTPUT_SCALE)
        first = self.first.weight / self.std[:, None, None]
        last = self.last.weight * scale[:, None, None, None]
        modulation = self._modulation(quality)
        h = F.leaky_relu_(_convolved(x, first, self.first.bias, modulation, 0), 0.1)
        for number, layer in enumerate(self.inner, 1):
            if isinstance(layer, Conv2d):
                more = _convolved(h, layer.weight, layer.bias, modulation, number)
            else:
                more = _modulated(layer(h), modulation, number)
            h = h + F.leaky_relu_(more, 0.1)
        more = F.conv2d(h, last, self.last.bias * scale, padding="same")
        # Under autocast only the correction has few digits.
        return more.add_(x) if more.dtype == x.dtype else x + more

    def _modulation(self, quality: Tensor | None) -> Tensor | None:
        """Return scale and offset ``(N, layers, 2, width, 1, 1)`` of the hidden layers at qualities ``(N,)``."""
        if not self.conditioned or quality is None:
            return None
        modulation = between_knots(self.tone, quality)[..., None, None]
        return torch.stack([torch.exp2(modulation[:, :, 0]), modulation[:, :, 1]], 2)


class Identity(nn.Module):
    """What is left of a block that is left out: its scale."""

    std: Tensor
    reach = 0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("std", torch.ones(channels))

    def forward(self, x: Tensor, quality: Tensor | None = None) -> Tensor:
        return x


Blocks: TypeAlias = ListOf[Block | Identity]
"""One of each level, at 1/4, 1/8 and 1/16."""


def make_blocks(
    channels: Sequence[int],
    widths: Sequence[int],
    depths: Sequence[int],
    conditioned: bool = False,
    ends: int = 3,
) -> Blocks:
    """Return a block for each level; none where the width is 0."""
    sizes = zip(channels, widths, depths, strict=True)
    return ListOf(Block(c, w, d, conditioned, ends) if w else Identity(c) for c, w, d in sizes)


def _halo(blocks: Blocks) -> int | None:
    """Return how many elements at 1/16 blocks at 1/4, 1/8 and 1/16 see together, along each side."""
    pixels = 0
    for block, size in zip(blocks, (4, 8, 16), strict=True):
        if block.reach is None:
            return None
        pixels += size * block.reach
    return -(-pixels // 16)


def _merges(options: Options) -> ListOf[nn.Conv2d]:
    """Return the linear merges to 1/4, 1/8 and 1/16."""
    sizes = ((48, 48), (192, options.merged), (4 * options.merged, options.channels))
    merges = ListOf(nn.Conv2d(a, b, 1, bias=False) for a, b in sizes)
    for weight in merges.parameters():
        trained_as("linear", weight)
    return merges


def _convolved(x: Tensor, weight: Tensor, bias: Tensor, modulation: Tensor | None, layer: int) -> Tensor:
    """Convolve and modulate; the scale and offset of a single quality go into the weights."""
    if modulation is None or len(modulation) > 1:
        return _modulated(F.conv2d(x, weight, bias, padding="same"), modulation, layer)
    scale, offset = modulation[0, layer]
    return F.conv2d(x, weight * scale[:, None], bias * scale.flatten() + offset.flatten(), padding="same")


def _modulated(h: Tensor, modulation: Tensor | None, layer: int) -> Tensor:
    if modulation is None:
        return h
    scale, offset = modulation[:, layer].to(h.dtype).unbind(1)
    return torch.addcmul(offset, h, scale)


def _down(x: Tensor, weight: Tensor, shuffle: int) -> Tensor:
    """Un-shuffle and merge: a convolution whose stride is its size.

    In bfloat16 the linear path alone would cost 0.1 dB at high quality.
    """
    with full_precision(x.device):
        return F.conv2d(x, weight.reshape(len(weight), -1, shuffle, shuffle), stride=shuffle)


def _up(x: Tensor, weight: Tensor, shuffle: int) -> Tensor:
    """Merge transposed and shuffle, the inverse of ``_down`` where rows are orthonormal.

    Equals ``F.pixel_shuffle`` after a 1x1 convolution, as one matrix product in channels-last order, where
    whole pixels move.
    """
    inner = weight.shape[1] // shuffle**2
    weight = weight[:, :, 0, 0].unflatten(1, (inner, shuffle, shuffle))  # (C, inner, a, b)
    n, _, h, w = x.shape
    with full_precision(x.device):
        y = x.permute(0, 2, 3, 1) @ weight.permute(0, 2, 3, 1).flatten(1)
    y = y.reshape(n, h, w, shuffle, shuffle, inner).transpose(2, 3)
    return y.reshape(n, h * shuffle, w * shuffle, inner).permute(0, 3, 1, 2)


class ResidualTransform(Transform):
    """Linear merges 4-8-16 with residual blocks between them; stride 16."""

    stride = 16

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.latent_channels = options.channels
        channels = (48, options.merged, options.channels)
        self.analysis_linear = _merges(options)
        self.analysis_blocks = make_blocks(
            channels, options.widths[:3], options.analysis, options.conditioned_analysis
        )
        self.synthesis_linear = _merges(options)
        self.synthesis_blocks = make_blocks(
            channels, options.widths[-3:], options.synthesis, options.conditioned
        )

    def analysis(self, image: Tensor, quality: Tensor) -> Tensor:
        h, w = image.shape[-2:]
        image = F.pad(image, (0, -w % 16, 0, -h % 16), mode="replicate")
        x = (image - _PIXEL_OFFSET).contiguous(memory_format=torch.channels_last)
        for shuffle, linear, block in zip(
            (4, 2, 2), self.analysis_linear, self.analysis_blocks, strict=True
        ):
            x = block(_down(x, linear.weight, shuffle), quality)
        return x

    def synthesis(self, latent: Tensor, quality: Tensor) -> Tensor:
        return self._synthesis_stages(latent, quality)[-1][1]

    def features(self, latent: Tensor, quality: Tensor) -> dict[str, Tensor]:
        return dict(self._synthesis_stages(latent, quality))

    def _synthesis_stages(self, x: Tensor, quality: Tensor) -> list[tuple[str, Tensor]]:
        stages = []
        for name, shuffle, linear, block in zip(
            ("1/8", "1/4", "image"),
            (2, 2, 4),
            reversed(self.synthesis_linear),
            reversed(self.synthesis_blocks),
            strict=True,
        ):
            # The synthesis merges hold analysis-shaped matrices and are applied transposed.
            x = _up(block(x, quality), linear.weight, shuffle)
            stages.append((name, x))
        return [*stages[:-1], ("image", x + _PIXEL_OFFSET)]

    @property
    def analysis_halo(self) -> int | None:
        return _halo(self.analysis_blocks)

    @property
    def synthesis_halo(self) -> int | None:
        return _halo(self.synthesis_blocks)

    @property
    def decoder(self) -> nn.Module:
        return nn.ModuleList([self.synthesis_linear, self.synthesis_blocks])

    def removable_blocks(self) -> dict[str, nn.Module]:
        return {name: module for name, module in self.named_modules() if isinstance(module, Block)}

    def initialise(self, images: Tensor) -> None:
        """Set the linear codec from training patches ``(N, 3, H, W)``, H and W multiples of 16."""
        bases = {size: principal_components(images, size) for size in (4, 8, 16)}
        keep = {4: 48, 8: self.options.merged, 16: self.options.channels}
        with torch.no_grad():
            below, below_size = torch.eye(3, dtype=torch.float64), 1
            for level, size in enumerate((4, 8, 16)):
                basis, variance = (t[: keep[size]] for t in bases[size])
                ratio = size // below_size
                # (components, 3, size, size) seen as un-shuffled blocks of the level below
                blocks = basis.reshape(-1, 3, ratio, below_size, ratio, below_size)
                blocks = blocks.permute(0, 2, 4, 1, 3, 5).flatten(3)
                merge = torch.einsum("kabp,cp->kcab", blocks, below).flatten(1)
                for merges in (self.analysis_linear, self.synthesis_linear):
                    merges[level].weight.copy_(merge[:, :, None, None])
                for levels in (self.analysis_blocks, self.synthesis_blocks):
                    levels[level].std.copy_(variance.sqrt().clamp_min(1e-3))
                below, below_size = basis, size

    def channel_std(self) -> Tensor:
        return self.analysis_blocks[-1].std
