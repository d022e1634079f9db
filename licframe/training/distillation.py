"""Distil a small synthesis from a teacher's (three passes, arXiv 2309.02529; our reading).

Pass 1 is ordinary training. Pass 2 trains a student on the image, on the teacher's image and on its
intermediate features, the last two with decaying weights. Pass 3 removes what matters least and repeats
pass 2 on the smaller decoder. The analysis, the context and so the files stay the teacher's.
"""

from __future__ import annotations

import random
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from licframe.codec import Codec
from licframe.training.data import Photographs

_FEATURES_UNTIL, _PICTURE_UNTIL = 0.1, 0.5
"""Shares of a leg in which features, and the teacher's picture, are compared."""

_LEAST_ERROR = 1e-5
"""Patches that the teacher decodes better than this, 50 dB, count as if it did not."""


class DecodedPatches:
    """Random patches, each with the latent that a decoder has of it at a random quality and with the teacher's picture.

    Made once and kept in memory, 0.7 MB each for 256x256: decoding and the teacher's synthesis would cost several
    times a small student's step.

    Args:
        teacher: codes the patches; count: how many; size: their side in pixels; fabric: in whose precision latents
            are made. The picture, a target, is made in float32.
    """

    @torch.no_grad()
    def __init__(
        self,
        teacher: Codec,
        photographs: Photographs,
        count: int,
        size: int,
        rng: random.Random,
        fabric: Fabric,
    ) -> None:
        parts = []
        for begin in range(0, count, 8):
            image = photographs.patches(min(8, count - begin), size, rng)
            quality = torch.rand(len(image)) * 100
            with fabric.autocast():
                bits, latent = teacher.decoded_latent(image, quality)
            latent = latent.float()
            picture = teacher.transform.synthesis(latent, quality)[..., :size, :size]
            # float16 around 0: a thirtieth of a level where pictures are
            parts.append(
                (image.mul(255).round().byte(), latent.half(), (picture - 0.5).half(), bits, quality)
            )
        self.images, self.latents, self.pictures, self.bits, self.qualities = (
            torch.cat(x) for x in zip(*parts, strict=True)
        )

    def batch(self, count: int, size: int, rng: random.Random) -> tuple[Tensor, ...]:
        """Return images, decoded latents, the teacher's pictures, bits ``(count,)`` and qualities."""
        which = [rng.randrange(len(self.images)) for _ in range(count)]
        image, picture = self.images[which].float() / 255, self.pictures[which].float() + 0.5
        return image, self.latents[which].float(), picture, self.bits[which], self.qualities[which]


class DistillationObjective(nn.Module):
    """``((MSE(x) + a MSE(x_teacher)) / (1 + a) + b sum MSE(features)) / e``, a and b decaying to 0.

    e is the teacher's own squared error on the patch: how many dB a patch loses counts alike at all qualities, in busy
    and in smooth ones, as it does in a BD-rate. Far from the teacher its picture is the quieter target, for its error is
    noise to a small synthesis; near it the original is the better one. Features take the teacher's synthesis, four times
    the student's work, and are for the beginning. They are compared where both name them alike; where channels differ in
    number, through 1x1 projections that exist only in training.

    Args:
        image_weight, feature_weight: a and b at the beginning. a falls linearly to 0 in half of the leg, b in a tenth.
    """

    def __init__(
        self, student: Codec, teacher: Codec, image_weight: float = 1.0, feature_weight: float = 0.5
    ) -> None:
        super().__init__()
        self.student, self.image_weight, self.feature_weight = student, image_weight, feature_weight
        self.elapsed = 0.0
        # Not a submodule: its weights are nobody's to train or save.
        self._teacher = [teacher.eval()]
        for codec in (student, teacher):
            for parameter in codec.parameters():
                parameter.requires_grad_(False)
        for name, parameter in student.transform.named_parameters():
            parameter.requires_grad_("synthesis" in name)
        self.projections = nn.ModuleDict()
        latent = torch.zeros(1, student.transform.latent_channels, 2, 2)
        with torch.no_grad():
            old, new = (codec.transform.features(latent, torch.zeros(1)) for codec in (teacher, student))
        for name in new.keys() & old.keys():
            if new[name].shape[1] != old[name].shape[1]:
                key = name.replace("/", "_").replace(".", "_")
                self.projections[key] = nn.Conv2d(new[name].shape[1], old[name].shape[1], 1)

    @property
    def also(self) -> nn.Module:
        """What the trainer trains beside the student."""
        return self.projections

    def forward(
        self, image: Tensor, latent: Tensor, picture: Tensor, bits: Tensor, quality: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the loss, and ``(3, N)`` of loss, bpp and MSE."""
        found = self.student.transform.features(latent, quality)
        h, w = image.shape[-2:]
        decoded = found["image"][..., :h, :w]
        mse = _mse(decoded, image)
        weight = self.image_weight * max(0.0, 1 - self.elapsed / _PICTURE_UNTIL)
        total = (mse + weight * _mse(decoded, picture)) / (1 + weight)
        fade = max(0.0, 1 - self.elapsed / _FEATURES_UNTIL)
        if fade:
            (teacher,) = self._teacher
            with torch.no_grad():
                targets = teacher.transform.features(latent, quality)
            for name in found.keys() & targets.keys() - {"image"}:
                key = name.replace("/", "_").replace(".", "_")
                value = self.projections[key](found[name]) if key in self.projections else found[name]
                total = total + fade * self.feature_weight * _mse(value, targets[name])
        loss = total / _mse(picture, image).clamp_min(_LEAST_ERROR)
        return loss.mean(), torch.stack([loss, bits / (h * w), mse]).detach()


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).float().square().mean((1, 2, 3))


@torch.no_grad()
def removal_costs(codec: Codec, images: Tensor, quality: float = 50.0) -> dict[str, float]:
    """Return by how many dB the PSNR falls when one block of the synthesis is switched off.

    Blocks are the direct children of the synthesis that map features to equal shapes. This is the order
    in which pass 3 removes them, and the test whether a block earns its keep.
    """
    qualities = torch.full((len(images),), quality)
    _, latent = codec.decoded_latent(images, qualities)
    h, w = images.shape[-2:]

    def psnr() -> float:
        decoded = codec.transform.synthesis(latent, qualities)[..., :h, :w]
        return float(-10 * (decoded - images).square().mean((1, 2, 3)).log10().mean())

    whole = psnr()
    costs = {}
    for name, module in codec.transform.named_modules():
        if "synthesis" not in name or not getattr(module, "removable", False):
            continue

        def skip(_: nn.Module, inputs: Any, __: Any) -> Any:
            return inputs[0]

        handle = module.register_forward_hook(skip)
        costs[name] = whole - psnr()
        handle.remove()
    return dict(sorted(costs.items(), key=lambda item: item[1]))
