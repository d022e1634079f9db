"""One picture coded at several qualities, until one is what was asked for: what is known of each, and the file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from licframe.bitstream import container
from licframe.codec import scale
from licframe.model.tiled_coding import TiledStreams, Tiles
from licframe.picture import alpha
from licframe.picture.images import Picture
from licframe.runtime.clock import Clock

if TYPE_CHECKING:
    from licframe.codec.latent import LatentCodec


DIFFERS = "the file that was just written does not decode to what was encoded; nothing was saved; run licframe doctor"


@attrs.frozen(eq=False, kw_only=True)
class Trial:
    """A picture coded at a quality.

    Attributes:
        quality: what was asked for.
        coded: what codes it.
        detail: what a layer adds; None for nothing. correction: bytes of the filter that mends the picture.
        error: mean squared error before the filter, samples in [0, 1]; None where it is not known.
    """

    quality: int
    coded: TiledStreams
    detail: TiledStreams | None = None
    correction: bytes | None = None
    error: float | None = None

    @property
    def information(self) -> float:
        """Bits of all symbols under the frozen tables."""
        return self.coded.information + (0.0 if self.detail is None else self.detail.information)


T = TypeVar("T", bound=Trial)


class Trials(ABC, Generic[T]):
    """Trials of one picture, none of them made twice; of one in tiles the last alone is kept.

    Args:
        filtering: mend the picture of every trial, for a search that looks at pictures.
    """

    def __init__(
        self, codec: LatentCodec, picture: Picture, clock: Clock, tiles: Tiles, *, filtering: bool = False
    ) -> None:
        self.codec, self.picture, self.clock, self.tiles = codec, picture, clock, tiles
        self._filtering = filtering
        self._pixels = tiles.width * tiles.height
        with clock("file"):
            self.opacity = None if picture.alpha is None else alpha.encode(picture.alpha)
        self._trials: dict[int, T] = {}

    def trial(self, quality: int) -> T:
        """Return the picture coded at a quality: of what the scale offers, the cheapest by rate and distortion."""
        if quality not in self._trials:
            if self.tiles.side:  # a search would keep ten times what one takes
                self.forget()
            made = [self._coded(quality, setting) for setting in self.settings(quality)]
            best = made[0] if len(made) == 1 else min(made, key=self._cost)
            self._trials[quality] = self.filtered(best) if self._filtering else best
        return self._trials[quality]

    def settings(self, quality: int) -> list[scale.Setting]:
        """Return what is tried at a quality."""
        return scale.settings(quality, self._layering())

    def forget(self) -> None:
        """Free the memory of all trials."""
        self._trials.clear()

    def filtered(self, trial: T) -> T:
        """Fit the picture filter that is worth its bits; by default none is."""
        return trial

    def refined(self, trial: T) -> T:
        """Let the refiner search for a cheaper latent of this picture; by default it does not."""
        return trial

    @abstractmethod
    def fidelity(self, trial: T, metric: str | None = None) -> float:
        """Return how good the decoded picture is, by a method of ``Picture``; its PSNR if none is named."""

    @abstractmethod
    def check(self, trial: T) -> None:
        """Decode what is to be written, and compare.

        Raises:
            CorruptStreamError: it differs.
        """

    @abstractmethod
    def _coded(self, quality: int, setting: scale.Setting) -> T:
        """Return the picture coded with a setting."""

    @abstractmethod
    def _distortion_of(self, trial: T) -> float:
        """Return how far the decoded picture is from the original, samples in [0, 1]."""

    def _cost(self, trial: T) -> float:
        weight = scale.lambda_at(trial.quality) * self._pixels
        return trial.information + weight * self._distortion_of(trial)

    def _layering(self) -> scale.Layering | None:
        if self.codec.detail is None:
            return None
        return scale.LEAST_ERROR if self.codec.profile.training.distortion == "mse" else scale.LOOKS_BEST

    def packed(self, trial: Trial) -> bytes:
        """Return the file."""
        return container.write(self.file(trial))

    def file(self, trial: Trial) -> container.File:
        """Return what the file holds."""
        picture, codec, coded = self.picture, self.codec, trial.coded
        width, height = picture.size
        header = container.Header(
            width=width,
            height=height,
            mode=picture.mode,
            quality=trial.quality,
            latent_quality=coded.quality,
            profile=codec.profile.name,
            parts=codec.profile.parts,
            fingerprint=codec.fingerprint,
            depth=picture.depth,
        )
        streams = {}
        if trial.correction is not None:
            streams[codec.profile.picture_filter.label] = container.Stream(trial.correction)
        details: tuple[container.Detail, ...] = ()
        if trial.detail is not None and codec.detail is not None:
            said = trial.detail.quality, codec.detail.fingerprint[:6], codec.shows
            details = tuple(container.Detail(*said, *stream) for stream in trial.detail.streams)
        return container.File(
            header,
            coded.streams,
            picture.metadata,
            self.opacity,
            streams,
            details,
            tile=self.tiles.side,
        )
