"""Fit a detail layer to base weights: to what they leave out of pictures, at qualities of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import torch
from torch import Tensor

from licframe.codec.detail import set_steps
from licframe.codec.loading import build, load_latent
from licframe.errors import UsageError
from licframe.model.latent_model import LatentModel
from licframe.profile import weights
from licframe.profile.profile import Detail, LatentProfile, latent_profile
from licframe.training.beginnings import INITIAL_PATCHES, fingerprints
from licframe.training.data import Source
from licframe.training.hardware import Hardware
from licframe.training.loop import Callback, Settings, Trainer, heard
from licframe.training.objective import Objective
from licframe.training.results import Run, carry_out, refuse_folder
from licframe.training.schedule import Schedule
from licframe.training.supply import Data, Name, Pictures

_BASE_QUALITIES = (20, 100)
"""Of the base, uniform: below them a layer never pays."""

_DEAD_ZONE = 0.25
"""By so much of a step less is rounded up, about what an encoder does that weighs bits against errors."""

_LEAST_BPP = 0.2
"""Losses are shares of the rate, which so much is added to: fine steps would drown the others."""


def quantised(steps: Tensor) -> Tensor:
    """Return whole steps, rounded towards zero where an encoder would."""
    return steps.sign() * (steps.abs() + (0.5 - _DEAD_ZONE)).floor()


class CachedDetails:
    """What a base leaves out of patches, and what a context is given of it, kept in float16.

    Args:
        base: of the pictures; layer: whose transform takes the differences.
        count: patches; size: their side in pixels.
    """

    _AT_ONCE = 8

    @torch.no_grad()
    def __init__(
        self, base: LatentModel, layer: LatentModel, source: Source, count: int, size: int
    ) -> None:
        kept = []
        low, high = _BASE_QUALITIES
        for begin in range(0, count, self._AT_ONCE):
            image = source.batch(min(self._AT_ONCE, count - begin), size)[0]
            quality = low + torch.rand(len(image), device=image.device) * (high - low)
            gain, inverse = base.gains(quality)
            _, y = base.estimate_latent(base.transform.analysis(image, quality), gain, quality)
            shown = base.transform.synthesis(y * inverse[:, :, None, None], quality)[..., :size, :size]
            condition = base.units.float_form(gain, quality)
            seen = condition.context(y, slice(0, y.shape[1]))
            given = torch.cat([seen, condition.plane.expand(-1, 1, *seen.shape[2:])], 1)
            difference = image - shown.clamp(0, 1)
            kept.append((layer.transform.analysis(difference, quality).half(), given.half()))
        self.latents, self.given = (torch.cat(x) for x in zip(*kept, strict=True))

    def batch(self, count: int, size: int) -> tuple[Tensor, ...]:
        """Return latents ``(count, C, h, w)``, what is given, and qualities of the layer, uniform in 0..100."""
        which = torch.randint(len(self.latents), (count,), device=self.latents.device)
        quality = torch.rand(count, device=self.latents.device) * 100
        return self.latents[which].float(), self.given[which].float(), quality


class DetailRate(Objective):
    """Bits per pixel of details as they are coded, in shares of themselves.

    Args:
        pixels: of the patch that a latent stands for.
    """

    def __init__(self, model: LatentModel, pixels: int) -> None:
        super().__init__()
        self.model, self.pixels = model, pixels

    def forward(self, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """Take what ``CachedDetails`` gives; see ``Objective``."""
        latent, given, quality = batch
        gain = self.model.gains(quality)[0]
        bits, _ = self.model.estimate_latent(
            latent, gain, quality, quantised, noisy=False, given={"base": given}
        )
        bpp = bits / self.pixels
        loss = bpp / (_LEAST_BPP + bpp.detach()) + torch.log(_LEAST_BPP + bpp.detach())
        return loss.mean(), torch.stack([loss, bpp, torch.zeros_like(bpp)]).detach()


def fit_detail(
    profile: Name | LatentProfile,
    data: Data,
    *,
    folder: Name,
    start: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    schedule: Schedule | None = None,
    callbacks: Sequence[Callback] = (),
    settings: Settings | None = None,
    hardware: Hardware,
    patches: int = 600,
    limit: int | None = None,
    seed: int = 0,
) -> Run:
    """Fit the detail layer that a profile names to the profile's weights.

    Args:
        start: weights of a layer with the same parts to begin from.
        patches: whose details are cached; 600 take 0.7 GB.

    The other arguments are those of ``train``.

    Raises:
        UsageError: the profile names no detail layer. ProfileError: its parts do not fit.
    """
    base = profile if isinstance(profile, LatentProfile) else latent_profile(str(profile))
    if base.detail_path is None:
        raise UsageError(f"{base.source} names no detail layer to fit; add a table [detail] with its file")
    layer = latent_profile(str(base.detail_path))
    folder, schedule = Path(folder), schedule or Schedule.of(base)
    callbacks = heard(callbacks, hardware.processes)
    begun = fingerprints(base=base.weights_path)
    refuse_folder(folder, (start, base.weights_path), resume=resume, overwrite=overwrite)
    with torch.random.fork_rng(), hardware.settings():
        torch.manual_seed(seed)
        pictures = Pictures.of(data, base.training, schedule, hardware, limit)
        below = load_latent(attrs.evolve(base, detail=Detail())).model.to(hardware.device)
        model = build(layer)
        scale = float(
            model.transform.analysis(torch.full((1, 3, 8, 8), 1.0), torch.zeros(1)).norm() / 192**0.5
        )
        set_steps(model, scale)
        model.to(hardware.device)
        cached = pictures.of_each(
            lambda source, count: CachedDetails(below, model, source, count, schedule.patch), patches
        )
        first = cached.training.batch(INITIAL_PATCHES, 0)[0]
        std = first.std((0, 2, 3))
        if start is not None:
            weights.load(start, model, layer.structure())
        else:
            model.units.std.copy_(std)
            model.scheduler.initialise(first, std)
        model.requires_grad_(False)
        for module in (model.scheduler, model.entropy_models):
            module.requires_grad_(True)
        trainer = Trainer(
            model,
            cached.training,
            DetailRate(model, schedule.patch**2),
            schedule,
            hardware,
            folder=folder,
            held_out=cached.fixed(schedule.patch),
            callbacks=callbacks,
            settings=settings,
            seed=seed,
            of={"profile": str(layer.structure()), "base": begun.get("base", "")},
        )
        return carry_out(trainer, layer, pictures.listing, None, resume=resume, record=begun)
