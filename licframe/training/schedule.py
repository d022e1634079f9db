"""How long a run lasts, what a step takes, and how the rates go: warm-up, stable, decay.

Weights at the end of the stable phase are what the next run goes on from; weights after the decay are what ships.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

import attrs
from attrs.validators import and_, ge, gt, le, optional

from licframe.profile.profile import LatentProfile, latent_profile


@attrs.frozen
class Schedule:
    """One training run.

    Attributes:
        minutes: wall clock.
        steps: end after so many steps instead, for tests and checks.
        batch, patch: patches a step, and their side in pixels.
        warmup: steps in which the rates rise from zero; a quarter of them where moments were restored.
        decay: share of the run, at its end, in which the rates fall linearly to zero.
        rate: multiplies every learning rate.
        beta2, decay_beta2: AdamW's second moment decays so, before and in the decay, which averages over more.
        crop, crop_share: side in pixels of the patches in this last share of the run; a step takes as many pixels.
    """

    minutes: float = attrs.field(default=60.0, validator=gt(0))
    steps: int | None = attrs.field(default=None, validator=optional(ge(1)))
    batch: int = attrs.field(default=8, validator=ge(1))
    patch: int = attrs.field(default=256, validator=ge(16))
    warmup: int = attrs.field(default=200, validator=ge(1))
    decay: float = attrs.field(default=0.3, validator=and_(ge(0), le(1)))
    rate: float = attrs.field(default=1.0, validator=gt(0))
    beta2: float = attrs.field(default=0.98, validator=and_(ge(0), le(1)))
    decay_beta2: float = attrs.field(default=0.99, validator=and_(ge(0), le(1)))
    crop: int = attrs.field(default=512, validator=ge(16))
    crop_share: float = attrs.field(default=0.0, validator=and_(ge(0), le(1)))

    @classmethod
    def of(cls, profile: str | PathLike[str] | LatentProfile, **fields: Any) -> Schedule:
        """Return a schedule with the batch, patch and rate of a profile's ``[training]``, unless they are given."""
        checked = profile if isinstance(profile, LatentProfile) else latent_profile(str(profile))
        own = checked.training
        return cls(**{"batch": own.batch, "patch": own.patch, "rate": own.rate, **fields})

    @property
    def largest(self) -> int:
        """The largest side of a patch that the run asks for."""
        return max(self.patch, self.crop) if self.crop_share else self.patch

    def factor(self, step: int, progress: float, *, restored: bool = False) -> float:
        """Return what learning rates are multiplied by at a step and a share of the run that is over."""
        warmup = max(1, self.warmup // 4) if restored else self.warmup
        factor = self.rate * min(1.0, (step + 1) / warmup)
        return factor * max(0.0, 1 - progress) / self.decay if self.decaying(progress) else factor

    def decaying(self, progress: float) -> bool:
        """Return whether the decay has begun."""
        return self.decay > 0 and progress >= 1 - self.decay

    def shape(self, progress: float) -> tuple[int, int]:
        """Return how many patches a step takes, and their side."""
        if not self.crop_share or progress < 1 - self.crop_share:
            return self.batch, self.patch
        return max(1, round(self.batch * (self.patch / self.crop) ** 2)), self.crop
