"""A transform: pictures to latents, and back.

What a transform must have:

1. ``latent_channels`` and ``stride``: how many numbers stand for each ``stride x stride`` pixels.
2. ``analysis``: pictures ``(N, 3, H, W)`` in [0, 1], of any size, to latents ``(N, C, ceil(H / stride), ceil(W / stride))``.
3. ``synthesis``: latents to pictures, ``h * stride`` rows high. The codec crops them.
4. ``decoder``: a module that holds all parameters of the synthesis and no other. Distillation replaces it.

What it may have: ``initialise``, which sees some pictures before training. A good beginning saves hours.

Networks are ordinary float networks: a decoder knows the symbols before the synthesis begins, so nothing breaks where
another machine rounds otherwise. Latents should have a standard deviation near one or below. Scale and rounding are the
business of the model, which has a gain for each channel and quality.

Here both ways are one matrix for each block of 16x16 pixels. It starts as the principal components of the training
pictures, the best that one matrix can be for the squared error. Where to go on: layers between pixels and blocks.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.parts import Transform, trained_as

from .plugin import BlocksOptions

_STRIDE = 16
_GREY = 0.5


class Blocks(Transform):
    """A learned basis of blocks of 16x16 pixels."""

    stride = _STRIDE

    def __init__(self, options: BlocksOptions) -> None:
        super().__init__()
        self.latent_channels = options.channels
        shape = options.channels, 3, _STRIDE, _STRIDE
        start = nn.init.orthogonal_(torch.empty(shape))
        # "linear": starts near its optimum, and should move slowly
        self.forwards = trained_as("linear", nn.Parameter(start.clone()))
        self.backwards = nn.ParameterList([trained_as("linear", nn.Parameter(start.clone()))])

    def analysis(self, image: Tensor, quality: Tensor) -> Tensor:
        h, w = image.shape[-2:]
        image = F.pad(image, (0, -w % _STRIDE, 0, -h % _STRIDE), mode="replicate")
        return F.conv2d(image - _GREY, self.forwards, stride=_STRIDE)

    def synthesis(self, latent: Tensor, quality: Tensor) -> Tensor:
        return F.conv_transpose2d(latent, self.backwards[0], stride=_STRIDE) + _GREY

    @property
    def decoder(self) -> nn.Module:
        return self.backwards

    @torch.no_grad()
    def initialise(self, images: Tensor) -> None:
        blocks = F.unfold(images - _GREY, _STRIDE, stride=_STRIDE).transpose(1, 2).flatten(0, 1)
        _, vectors = torch.linalg.eigh(blocks.T @ blocks)  # the largest last
        basis = vectors.flip(1)[:, : self.latent_channels].T.reshape(self.forwards.shape)
        self.forwards.copy_(basis)
        self.backwards[0].copy_(basis)
