"""Pictures through several codecs at equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from licframe.codec.interface import ImageCodec, PixelCodec
from licframe.codec.target import Target
from licframe.errors import LicframeError, LimitError, UsageError, located
from licframe.evaluation import metrics
from licframe.evaluation.codecs import CodecUnderTest, check_names, codec_named
from licframe.picture.images import Picture, read_picture

_TRIES = 12
_QUALITY = 30
"""Asked for by default; below it other codecs often have no file as small."""


@attrs.frozen(eq=False)
class Coded:
    """A picture as a codec brings it back.

    Attributes:
        codec: its name.
        size: bytes of the file; bpp: its rate.
        pixels: what the file decodes to.
        scores: the value of each metric that could be measured.
        above: the file is larger than that of the first codec, and the smallest that this one makes.
    """

    codec: str
    size: int
    bpp: float
    pixels: NDArray[np.uint8]
    scores: Mapping[str, float]
    above: bool = False

    @property
    def caption(self) -> str:
        """What there is to say of it, in a line."""
        said = [f"{self.codec} {self.size} bytes", f"{self.bpp:.3f} bpp"]
        said += [
            f"{metrics.METRICS[n].label} {metrics.METRICS[n].shown(v)}" for n, v in self.scores.items()
        ]
        return ", ".join(said) + ", its smallest file is larger than the first codec's" * self.above


@attrs.frozen(eq=False)
class Level:
    """Codecs at the bytes of the first: what was asked of that one, and what became of the picture."""

    label: str
    coded: tuple[Coded, ...]


@attrs.frozen(eq=False)
class Comparison:
    """A picture, and what codecs make of it at one level of bytes or several."""

    name: str
    original: NDArray[np.uint8]
    levels: tuple[Level, ...]


def codecs_named(
    profile: str, others: Sequence[str], overrides: tuple[str, ...] = ()
) -> list[CodecUnderTest]:
    """Return a profile, or any codec, and those it is compared with.

    Args:
        overrides: ``table.key=value`` strings, for the first.

    Raises:
        UsageError: two have one name. ProfileError: nothing has a name.
    """
    check_names([profile, *others])
    return [codec_named(profile, overrides), *map(codec_named, others)]


def targets_of(quality: int | None, rates: Sequence[float]) -> list[Target]:
    """Return what is asked of the first codec: a quality, or rates in bits per pixel.

    Raises:
        UsageError: both, or a rate that is no positive number, or is there twice.
    """
    if quality is not None and rates:
        raise UsageError("--quality does not go with --compare-bpp; leave out either")
    for rate in rates:
        if rates.count(rate) > 1:
            raise UsageError(f"--compare-bpp has {rate:g} {rates.count(rate)} times; give each rate once")
    return [Target(bpp=rate) for rate in rates] or [
        Target(quality=_QUALITY if quality is None else quality)
    ]


def equal_bytes(codec: ImageCodec, picture: Picture, size: int, tries: int = _TRIES) -> bytes:
    """Return the largest file of a codec that is not above ``size``, by bisection of its quality.

    Where even the smallest is above, that one is returned.

    Args:
        tries: of the bisection; seven find a whole number from 0 to 100.
    """
    if not isinstance(codec, PixelCodec):  # it searches its whole scale, of which it alone knows the steps
        try:
            return codec.encode(picture, Target(size=size)).data
        except LimitError:
            return codec.encode(picture, Target(quality=min(codec.qualities))).data
    ends = sorted(codec.qualities)
    low, high = float(ends[0]), float(ends[-1])
    files = {quality: codec.encode(picture, Target(quality=quality)).data for quality in (low, high)}
    if len(files[low]) > len(files[high]):
        low, high = high, low  # a codec whose parameter means loss
    if len(files[high]) <= size:
        return files[high]
    for _ in range(tries):
        middle = (low + high) / 2
        data = files[middle] = codec.encode(picture, Target(quality=middle)).data
        low, high = (middle, high) if len(data) <= size else (low, middle)
    fitting = [data for data in files.values() if len(data) <= size]
    return max(fitting or [min(files.values(), key=len)], key=len)


def compare(path: Path, codecs: Sequence[CodecUnderTest], targets: Sequence[Target]) -> Comparison:
    """Encode a picture with a codec as each target says, and with others in at most the same bytes.

    Raises:
        LimitError: the first codec has no file as small as that. Others as ``read_picture``.
    """
    picture = read_picture(path).to_rgb()
    try:
        levels = tuple(_level(picture, codecs, target) for target in targets)
    except LicframeError as error:
        raise error if str(path) in str(error) else located(error, str(path)) from error
    return Comparison(path.stem, picture.pixels, levels)


def _level(picture: Picture, codecs: Sequence[CodecUnderTest], target: Target) -> Level:
    first, *others = codecs
    data = _as_asked(first, picture, target)
    files = [data, *(equal_bytes(other.codec, picture, len(data)) for other in others)]
    coded = tuple(
        _coded(codec, picture, file, len(data)) for codec, file in zip(codecs, files, strict=True)
    )
    return Level(label(target), coded)


def label(target: Target) -> str:
    """Return what readers call a target: "0.25 bpp", "quality 15"."""
    return f"quality {target.quality}" if target.bpp is None else f"{target.bpp:g} bpp"


def _as_asked(named: CodecUnderTest, picture: Picture, target: Target) -> bytes:
    width, height = picture.size
    limit = target.limit(width * height)
    if limit is None:
        return named.codec.encode(picture, target).data
    data = equal_bytes(named.codec, picture, max(1, int(limit)))
    if len(data) > limit:
        raise LimitError(
            f"the smallest file of {named.name} has {8 * len(data) / (width * height):.3f} bpp, above {target.bpp:g}; "
            "allow more"
        )
    return data


def _coded(named: CodecUnderTest, picture: Picture, data: bytes, most: int) -> Coded:
    pixels: NDArray[Any] = named.codec.decode(data).picture.pixels
    width, height = picture.size
    values = metrics.measured(picture.pixels, pixels)
    scores = {name: value for name, value in values.items() if value is not None}
    return Coded(named.name, len(data), 8 * len(data) / (width * height), pixels, scores, len(data) > most)
