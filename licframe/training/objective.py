"""What training minimises: rate, distortion, and a term that makes latents sparse."""

from __future__ import annotations

import torch
from pytorch_msssim import ms_ssim
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.codec import Codec
from licframe.interfaces import Transform
from licframe.rate import lambda_of

REFERENCE_LAMBDA = 0.013
_MS_SSIM_WEIGHT = 1280.0
"""Weight of 1 - MS-SSIM beside that of MSE, both per lambda: the ratio of the two series that learned codecs are
usually trained with (0.0018 to 0.18, and 2.4 to 220)."""


_MIRRORED = 16
"""Pixels by which pictures are extended before they are judged; with twice as many the borders would count double."""


def similarity(decoded: Tensor, image: Tensor) -> Tensor:
    """Return the MS-SSIM ``(N,)`` of pictures ``(N, 3, H, W)`` in [0, 1] with mirrored borders.

    Its windows lie within the pictures and would hardly see the outermost pixels, which then learn nothing.
    """
    both = torch.cat([decoded.float(), image.float()])
    with torch.autocast(image.device.type, enabled=False):  # variances are small differences
        x, y = F.pad(both, (_MIRRORED,) * 4, mode="reflect").chunk(2)
        found: Tensor = ms_ssim(x, y, data_range=1.0, size_average=False)
        return found


class Objective(nn.Module):
    """``L = R + lambda * D (+ beta * mean|y|)``, each sample over sqrt(lambda / 0.013).

    The L1 term (arXiv 2309.02529) is of the latent in quantisation steps, where sparse means cheap; gains are not
    its to shrink.

    Args:
        distortion: "mse", D is ``255^2 * MSE``; or "ms-ssim", D is ``1280 * (1 - MS-SSIM)``, of
            mirrored borders too, for patches of at least 161 pixels a side.
        also: a transform whose synthesis decodes the same latents and learns along; D is then the mean of both, and
            the analysis learns what both can undo.
    """

    def __init__(
        self, codec: Codec, beta: float = 0.0, distortion: str = "mse", also: Transform | None = None
    ) -> None:
        super().__init__()
        self.codec = codec
        self.beta = beta
        self.distortion = distortion
        self.also = also

    def forward(self, image: Tensor, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and a tensor ``(3, N)`` of loss, bpp and MSE of each sample."""
        image = image.contiguous(memory_format=torch.channels_last)  # as the decoded one is
        out = self.codec.estimate(image, quality)
        bpp = out.bits / (image.shape[-2] * image.shape[-1])
        mse = (out.image.detach().float() - image).square().mean((1, 2, 3))
        lam = lambda_of(quality)
        distortion = self._distortion(out.image, image)
        if self.also is not None:
            h, w = image.shape[-2:]
            other = self.also.synthesis(out.decoded, quality)[..., :h, :w]
            distortion = (distortion + self._distortion(other, image)) / 2
        loss = bpp + lam * distortion
        if self.beta:
            gain = self.codec.gains(quality)[0].detach()[:, :, None, None]
            loss = loss + self.beta * (out.latent * gain).abs().mean((1, 2, 3))
        loss = loss / (lam / REFERENCE_LAMBDA).sqrt()
        return loss.mean(), torch.stack([loss, bpp, mse]).detach()

    def _distortion(self, decoded: Tensor, image: Tensor) -> Tensor:
        if self.distortion == "mse":
            return 255**2 * (decoded.float() - image).square().mean((1, 2, 3))
        return _MS_SSIM_WEIGHT * (1 - similarity(decoded, image))
