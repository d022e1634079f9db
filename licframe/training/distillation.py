"""Distil a small synthesis from a teacher's (three passes, arXiv 2309.02529; our reading).

Pass 1 is ordinary training. Pass 2 trains a student on the image, on the teacher's image and on its
intermediate features, the last two with decaying weights. Pass 3 removes what matters least and repeats
pass 2 on the smaller decoder. The analysis, the context and so the files stay the teacher's.
"""

from __future__ import annotations

import statistics
from collections.abc import Hashable

import torch
from torch import Tensor, nn

from licframe.evaluation.blocks import switched_off
from licframe.model.latent_model import LatentModel
from licframe.picture.error import psnr_of
from licframe.training.data import Source
from licframe.training.hardware import Hardware
from licframe.training.objective import Objective

_FEATURES_UNTIL, _PICTURE_UNTIL = 0.1, 0.5
"""Shares of a run in which features, and the teacher's picture, are compared."""

_LEAST_ERROR = 1e-5
"""Patches that the teacher decodes better than this, 50 dB, count as if it did not."""


class DecodedPatches:
    """Random patches, each with the latent that a decoder has of it at a random quality and with the teacher's picture.

    Made once and kept in memory, 0.7 MB each for 256x256: decoding and the teacher's synthesis would cost several
    times a small student's step.

    Args:
        teacher: codes the patches; source: gives pictures and qualities; count: how many; size: their side in pixels; hardware: in whose precision latents
            are made. The picture, a target, is made in float32.
    """

    _AT_ONCE = 8

    @torch.no_grad()
    def __init__(
        self, teacher: LatentModel, source: Source, count: int, size: int, hardware: Hardware
    ) -> None:
        parts = []
        for begin in range(0, count, self._AT_ONCE):
            image, quality = source.batch(min(self._AT_ONCE, count - begin), size)
            with hardware.autocast():
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

    def batch(self, count: int, size: int) -> tuple[Tensor, ...]:
        """Return images, decoded latents, the teacher's pictures, bits ``(count,)`` and qualities."""
        which = torch.randint(len(self.images), (count,), device=self.images.device)
        image, picture = self.images[which].float() / 255, self.pictures[which].float() + 0.5
        return image, self.latents[which].float(), picture, self.bits[which], self.qualities[which]


class Distillation(Objective):
    """``((MSE(x) + a MSE(x_teacher)) / (1 + a) + b sum MSE(features)) / e``, a and b decaying to 0.

    e is the teacher's own squared error on the patch: how many dB a patch loses counts alike at all qualities, in busy
    and in smooth ones, as it does in a BD-rate. Far from the teacher its picture is the quieter target, for its error is
    noise to a small synthesis; near it the original is the better one. Features take the teacher's synthesis, four times
    the student's work, and are for the beginning. They are compared where both name them alike; where channels differ in
    number, through 1x1 projections that exist only in training.

    Args:
        image_weight, feature_weight: a and b at the beginning. a falls linearly to 0 in half of the run, b in a tenth.
    """

    def __init__(
        self,
        student: LatentModel,
        teacher: LatentModel,
        image_weight: float = 1.0,
        feature_weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.student, self._first = student, (image_weight, feature_weight)
        # Not a submodule: its weights are nobody's to train or save.
        self._teacher = [teacher.eval()]
        self._weights = torch.tensor(self._first)
        self._with_features = feature_weight > 0
        for model in (student, teacher):
            model.requires_grad_(False)
        student.transform.decoder.requires_grad_(True)
        device = student.gain_table.device
        latent = torch.zeros(1, student.transform.latent_channels, 2, 2, device=device)
        with torch.no_grad():
            old, new = (
                model.transform.features(latent, torch.zeros(1, device=device))
                for model in (teacher, student)
            )
        self.auxiliary = projections = nn.ModuleDict()
        for name in new.keys() & old.keys():
            if new[name].shape[1] != old[name].shape[1]:
                projections[_key(name)] = nn.Conv2d(new[name].shape[1], old[name].shape[1], 1)

    def advance(self, progress: float) -> Hashable:
        image, feature = self._first
        device = self.student.gain_table.device
        now = (
            image * max(0.0, 1 - progress / _PICTURE_UNTIL),
            feature * max(0.0, 1 - progress / _FEATURES_UNTIL),
        )
        self._weights = self._weights.to(device)
        for number, value in enumerate(now):
            self._weights[number].fill_(value)
        self._with_features = now[1] > 0
        return self._with_features

    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """Take what ``DecodedPatches`` gives; see ``Objective``. In evaluation mode only the original counts."""
        image, latent, picture, bits, quality = batch
        found = self.student.transform.features(latent, quality)
        h, w = image.shape[-2:]
        decoded = found["image"][..., :h, :w]
        total = mse = _mse(decoded, image)
        if self.training:
            weight, feature_weight = self._weights.unbind()
            total = (mse + weight * _mse(decoded, picture)) / (1 + weight)
            if self._with_features:
                total = total + feature_weight * self._feature_error(found, latent, quality)
        loss = total / _mse(picture, image).clamp_min(_LEAST_ERROR)
        return loss.mean(), torch.stack([loss, bits / (h * w), mse]).detach()

    def _feature_error(self, found: dict[str, Tensor], latent: Tensor, quality: Tensor) -> Tensor:
        (teacher,) = self._teacher
        with torch.no_grad():
            targets = teacher.transform.features(latent, quality)
        total = torch.zeros_like(quality)
        assert isinstance(self.auxiliary, nn.ModuleDict)
        for name in found.keys() & targets.keys() - {"image"}:
            key = _key(name)
            value = self.auxiliary[key](found[name]) if key in self.auxiliary else found[name]
            total = total + _mse(value, targets[name])
        return total


def _key(name: str) -> str:
    return name.replace("/", "_").replace(".", "_")


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).float().square().mean((1, 2, 3))


@torch.no_grad()
def removal_costs(model: LatentModel, images: Tensor, quality: float = 50.0) -> dict[str, float]:
    """Return by how many dB the PSNR falls when one block of the synthesis is switched off.

    This is the order in which pass 3 removes them, and the test whether a block earns its keep.
    """
    qualities = torch.full((len(images),), quality, device=images.device)
    _, latent = model.decoded_latent(images, qualities)
    h, w = images.shape[-2:]

    def psnr() -> float:
        decoded = model.transform.synthesis(latent, qualities)[..., :h, :w]
        return statistics.fmean(map(psnr_of, _mse(decoded, images).tolist()))

    whole = psnr()
    costs = {}
    decoding = set(model.transform.decoder.modules())
    for name, block in model.transform.removable_blocks().items():
        if block in decoding:
            with switched_off(block):
                costs[name] = whole - psnr()
    return dict(sorted(costs.items(), key=lambda item: item[1]))
