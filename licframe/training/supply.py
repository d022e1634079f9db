"""What a run learns from, and what it holds out: pictures, or a source of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import attrs

from licframe.errors import LicframeError
from licframe.exact.units import LOWEST_QUALITY
from licframe.model.latent_model import LatentModel
from licframe.profile.profile import Training
from licframe.training.data import HeldOut, Photographs, Source
from licframe.training.distillation import DecodedPatches
from licframe.training.hardware import Hardware
from licframe.training.latents import CachedLatents
from licframe.training.pictures import PictureFile, find_pictures, split
from licframe.training.schedule import Schedule

_HELD_OUT_PATCHES = 32

Name = str | PathLike[str]
"""A path, or the name of a profile."""

Data = Source | Name | Sequence[Name]
"""What a run learns from: folders, tar shards or pictures; or a source of one's own."""


@attrs.frozen(eq=False)
class Pictures:
    """What a run learns from, and what is held out of the same kind.

    Attributes:
        listing: SHA-256 and name of each picture that is trained on; empty for a source of one's own.
    """

    training: Source
    held_out: Source | None = None
    listing: str = ""

    @classmethod
    def of(
        cls,
        data: Data,
        training: Training,
        schedule: Schedule,
        hardware: Hardware,
        limit: int | None = None,
    ) -> Pictures:
        """Read pictures and hold some out; try a source of one's own.

        Raises:
            LicframeError: a source does not give what it should.
        """
        if isinstance(data, (str, PathLike)):
            data = [data]
        if not isinstance(data, Sequence):
            _try(data, schedule)
            return cls(data)
        kept, held = split(find_pictures([Path(path) for path in data])[:limit])

        def on_device(files: Sequence[PictureFile], patch: int) -> Photographs:
            return Photographs(files, device=hardware.device, candidates=training.candidates, patch=patch)

        photographs = on_device(kept, schedule.largest)
        return cls(photographs, on_device(held, schedule.patch) if held else None, photographs.listing)

    def summary(self, schedule: Schedule) -> Iterator[str]:
        """Yield in words what there is, and what may surprise."""
        if not isinstance(self.training, Photographs):
            yield "pictures of a source; none is held out"
            return
        held = self.held_out.count if isinstance(self.held_out, Photographs) else 0
        yield f"{self.training.count} pictures, {self.training.megapixels:.0f} megapixels; {held or 'none'} held out"
        if self.training.enlarged:
            yield f"{self.training.enlarged} pictures are smaller than {schedule.largest} pixels and are enlarged"

    def fixed(self, patch: int) -> HeldOut | None:
        """Return what the held-out loss is measured on."""
        return None if self.held_out is None else HeldOut(self.held_out, _HELD_OUT_PATCHES, patch)

    def cached(self, model: LatentModel, count: int, patch: int) -> Pictures:
        """Return latents of the codec's transform in place of pictures."""
        return self.of_each(lambda source, number: CachedLatents(model, source, number, patch), count)

    def decoded(self, teacher: LatentModel, count: int, patch: int, hardware: Hardware) -> Pictures:
        """Return what a teacher decodes in place of pictures."""
        return self.of_each(
            lambda source, number: DecodedPatches(teacher, source, number, patch, hardware), count
        )

    def of_each(self, make: Callable[[Source, int], Source], count: int) -> Pictures:
        held = None if self.held_out is None else make(self.held_out, 2 * _HELD_OUT_PATCHES)
        return attrs.evolve(self, training=make(self.training, count), held_out=held)


def _try(source: Source, schedule: Schedule) -> None:
    """Draw once of every size that a run will ask for.

    Raises:
        LicframeError: what comes is not what ``Source`` says.
    """
    for progress in (0.0, 1.0):
        _, side = schedule.shape(progress)
        try:
            batch = source.batch(1, side)
            quality = batch[-1]
            fine = len(batch) > 1 and quality.shape == (1,) and LOWEST_QUALITY <= float(quality[0]) <= 100
        except (AttributeError, TypeError, IndexError, ValueError) as error:
            raise LicframeError(
                f"the source fails at patches of {side} pixels: {error}; see training.Source"
            ) from error
        if not fine:
            raise LicframeError(
                "a source gives a tuple of tensors, the last of them qualities (count,) in -28..100"
            )
