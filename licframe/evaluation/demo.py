"""What ``licframe demo`` makes of a picture, or of a .lic file, that is dropped on its page."""

from __future__ import annotations

import base64
import functools
import html
import threading
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from licframe.bitstream import container
from licframe.codec.fallback import FallbackCodec
from licframe.codec.interface import ImageCodec
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load, load_for
from licframe.codec.target import Target
from licframe.errors import (
    LicframeError,
    LicframeWarning,
    LimitError,
    PluginLoadError,
    ProfileError,
    UsageError,
    located,
)
from licframe.evaluation import pages
from licframe.evaluation.codecs import codec_named
from licframe.evaluation.comparison import Coded, equal_bytes
from licframe.evaluation.information import bits_per_block
from licframe.evaluation.metrics import METRICS, why_not
from licframe.model import previews
from licframe.model.tiled_coding import Tiles
from licframe.picture.images import Picture, read_picture
from licframe.profile import DEFAULT_PROFILE
from licframe.profile.profile import load_profile, shipped_profiles
from licframe.runtime import extras
from licframe.runtime.limits import Limits

BASELINES = {"JPEG": "jpeg", "WebP": "webp", "AVIF 4:2:0": "avif-420"}
"""What a result is compared with: of AVIF the default, for 4:4:4 at speed 4, which is better, takes several times as long."""
SCORES = ("psnr", "ms_ssim", *(["ssimulacra2"] if extras.installed("ssimulacra2") else []))
TARGETS = {"quality": "quality, 0 to 100", "size": "most bytes", "bpp": "most bits per pixel"}
"""What can be asked for, as the page says it."""
_TRIES = 7
_TURN = 1.0
"""Seconds between two words to a page that waits for its turn."""

Event = Mapping[str, Any]
"""What a page is told, as JSON holds it: "text" and "done" (0..1) while work goes on; then "html", and the "file" that was
made, in base64, with its "name"; or "error", a sentence."""


@attrs.frozen
class Asked:
    """What is asked for: a profile, what its file should meet, and whether metadata is kept."""

    profile: str = DEFAULT_PROFILE
    target: Target = attrs.field(factory=Target)
    metadata: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """Return what a query asks for.

        Raises:
            UsageError: no such profile or target, or no number.
        """
        profile, kind = query.get("profile", DEFAULT_PROFILE), query.get("target", "quality")
        text = query.get("value", "")
        if profile not in profiles():  # never a path
            raise UsageError(f'no profile "{profile}"; there are {", ".join(profiles())}')
        if kind not in TARGETS:
            raise UsageError(f'a file cannot be asked for its "{kind}"; there are {", ".join(TARGETS)}')
        try:
            value = float(text) if text else None
        except ValueError:
            raise UsageError(f'"{text}" is no number; write one, for example 50') from None
        return cls(profile, Target(**{kind: value}), query.get("metadata") == "on")


@functools.cache
def profiles() -> dict[str, str]:
    """Return the names of the profiles that write .lic files and have their weights, and what they say of themselves."""
    found = {name: load_profile(name) for name in shipped_profiles()}
    return {
        name: profile.summary
        for name, profile in found.items()
        if profile.weights_path is None or profile.weights_path.is_file()
    }


class Desk:
    """Answers one page after another.

    Attributes:
        limits: of what is accepted.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._busy = threading.Lock()

    def answer(self, data: bytes, name: str, query: Mapping[str, str]) -> Generator[Event]:
        """Yield what a page is told about a file; any mistake is told, none is raised.

        Args:
            name: of the file, for people; query: see ``Asked.of``.
        """
        while not self._busy.acquire(timeout=_TURN):
            yield _working("waiting for another picture", 0)
        try:
            if not data:
                raise UsageError(f"{name} is empty; drop a picture or a .lic file")
            if data.startswith(container.MAGIC):
                yield from view(data, name, self.limits)
            else:
                yield from compress(data, name, Asked.of(query), self.limits)
        except LicframeError as error:
            yield {"error": str(error if name in str(error) else located(error, name))}
        except Exception as error:  # noqa: BLE001 - a fault of ours in one file ends nothing
            yield {"error": f"{name}: unexpected {type(error).__name__}: {error}; please report it"}
        finally:
            self._busy.release()


def _working(text: str, done: float) -> Event:
    return {"text": text, "done": done}


# -- a picture ------------------------------------------------------------------------------------


def compress(data: bytes, name: str, asked: Asked, limits: Limits) -> Iterator[Event]:
    """Yield how the compression of a picture goes, then what became of it, beside other codecs at equal bytes."""
    yield _working("reading the picture", 0.02)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", LicframeWarning)
        picture = read_picture(data, limits, first_frame=True, where=name)
    if not asked.metadata:
        picture = attrs.evolve(picture, metadata={})
    yield _working(f"compressing with {asked.profile}", 0.05)
    codec = _codec(asked.profile)
    encoded = codec.encode(picture, asked.target)
    size, original = len(encoded.data), picture.to_rgb()
    yield _working("decoding", 0.35)
    shown = [_coded(asked.profile, original, codec.decode(encoded.data, limits).picture, size, size)]
    notes = [*(str(w.message) for w in said), *encoded.notes, *_of_comparison(picture)]
    for number, (label, baseline) in enumerate(BASELINES.items()):
        yield _working(f"{label} in as many bytes", 0.4 + 0.12 * number)
        try:
            other = codec_named(baseline).codec
            file = equal_bytes(other, original, size, _TRIES)
        except (LimitError, PluginLoadError, ProfileError) as error:
            notes.append(f"{label} is left out: {error}")
        else:
            shown.append(_coded(label, original, other.decode(file, limits).picture, len(file), size))
    title = f"{name}, {original.size[0]}x{original.size[1]}, quality {encoded.quality:g}"
    images = [("original", original.pixels, "original"), *((c.codec, c.pixels, c.caption) for c in shown)]
    drawn = yield from _viewer(title, images, shown[0].pixels, codec, encoded.data, limits)
    page = [drawn, _scores(shown), *map(_paragraph, notes)]
    yield {
        "html": "\n".join(page),
        "name": f"{Path(name).stem}.lic",
        "file": base64.b64encode(encoded.data).decode(),
    }


@functools.lru_cache(maxsize=2)
def _codec(profile: str) -> ImageCodec:
    return load(profile)


def _coded(name: str, original: Picture, decoded: Picture, size: int, most: int) -> Coded:
    """Return what a codec made of a picture, with its scores."""
    width, height = original.size
    pixels = decoded.to_rgb().pixels
    scores = {
        metric: METRICS[metric].measure(original.pixels, pixels)
        for metric in SCORES
        if not why_not(metric, width, height)
    }
    return Coded(name, size, 8 * size / (width * height), pixels, scores, size > most)


def _of_comparison(picture: Picture) -> Iterator[str]:
    """Yield what whoever compares codecs on a picture should know."""
    if picture.alpha is not None or picture.depth == 16:
        kept = " and ".join(["alpha"] * (picture.alpha is not None) + ["16 bits"] * (picture.depth == 16))
        yield f"the .lic file keeps {kept}; compared are 8 bits of the colours, in the bytes of the whole file"
    for metric in SCORES:
        if reason := why_not(metric, *picture.size):
            yield f"{METRICS[metric].label} is not measured: {reason}"


def _scores(shown: Sequence[Coded]) -> str:
    measured = [metric for metric in SCORES if metric in shown[0].scores]
    head = ["codec", "bytes", "bpp", *(METRICS[metric].label for metric in measured)]
    rows = [
        [
            coded.codec + " (its smallest file)" * coded.above,
            str(coded.size),
            f"{coded.bpp:.3f}",
            *(METRICS[metric].shown(coded.scores[metric]) for metric in measured),
        ]
        for coded in shown
    ]
    return pages.table(head, rows)


# -- a .lic file ----------------------------------------------------------------------------------


def view(data: bytes, name: str, limits: Limits) -> Iterator[Event]:
    """Yield how the decoding of a .lic file goes, then what it shows and holds."""
    yield _working("checking the file", 0.02)
    file = container.read(data, limits)
    header = file.header
    yield _working("decoding", 0.2)
    codec = load_for(header)
    picture = codec.decode(data, limits).picture
    rate = 8 * len(data) / (header.width * header.height)
    rows = [
        ["size", f"{header.width}x{header.height}, {header.mode}, {header.depth} bits"],
        ["file", f"{len(data)} bytes, {rate:.3f} bits per pixel, quality {header.quality}"],
        ["made by", ", ".join([header.codec or f"profile {header.profile}", *header.parts])],
        [
            "metadata",
            ", ".join(f"{key} {len(value)} bytes" for key, value in file.metadata.items()) or "none",
        ],
    ]
    images = [("picture", picture.to_rgb().pixels, f"{len(data)} bytes, {rate:.3f} bpp")]
    drawn = yield from _viewer(name, images, images[0][1], codec, data, limits)
    page = [drawn, pages.table(["", ""], rows)]
    yield {"html": "\n".join(page)}


# -- what both show -------------------------------------------------------------------------------


def _viewer(
    title: str,
    images: Sequence[tuple[str, NDArray[np.uint8], str]],
    decoded: NDArray[np.uint8],
    codec: ImageCodec,
    data: bytes,
    limits: Limits,
) -> Generator[Event, None, str]:
    """Yield how drawing goes; return pictures of one size under a slider, with the levels and the bits of a .lic file.

    Args:
        images: of each its name, its pixels, and what there is to say of it; decoded: the pixels of the file.
    """
    height, width = decoded.shape[:2]
    latent = codec.lossy if isinstance(codec, FallbackCodec) else codec
    file, steps = container.read(data, limits), [decoded]
    if isinstance(latent, LatentCodec) and not file.header.codec:
        yield _working("bits by place", 0.76)
        bits, side = bits_per_block(latent, file), latent.model.transform.stride
        said = f"{bits.sum() / 8:.0f} of {len(data)} bytes by place: black is none, white {bits.max():.0f} bits a block"
        pixels = heat(bits / max(bits.max(), 1)).repeat(side, 0).repeat(side, 1)[:height, :width]
        images = [*images, (f"bits per block of {side}x{side} pixels", pixels, said)]
        count = levels(latent, file)
        steps = []
        for left_out in range(count - 1, 0, -1):
            yield _working(f"level {count - left_out} of {count}", 0.8 + 0.15 * (1 - left_out / count))
            steps.append(latent.decode_preview(data, left_out, limits).picture.to_rgb().pixels)
        steps.append(decoded)
    yield _working("drawing", 0.95)
    size, names = (width, height), [name for name, *_ in images]
    drawn = [
        pages.image(pages.address(pixels, fast=True), size, place, f"{title}: {label}", said)
        for place, (label, pixels, said) in enumerate(images)
    ]
    labels = [f"level {number} of {len(steps)}" for number in range(1, len(steps) + 1)]
    if len(steps) > 1:
        names.append("level by level")
        drawn += [
            pages.image(pages.address(pixels, fast=True), size, len(images), f"{title}: {label}", label, at)
            for at, (pixels, label) in enumerate(zip(steps, labels, strict=True))
        ]
    return pages.viewer(title, names, drawn, labels, chosen=(0, min(1, len(names) - 1)))


def levels(codec: LatentCodec, file: container.File) -> int:
    """Return in how many levels a file is coded: grids of MSP or passes of another context, and the details."""
    header, plan = file.header, codec.model.scheduler.plan
    place = Tiles(header.height, header.width, file.tile).places(codec.model.transform.stride)[0]
    rows, columns = (part.stop - part.start for part in place)
    return len(previews.levels(plan(rows, columns))) + bool(file.details)


def heat(share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return colours ``(H, W, 3)`` of shares ``(H, W)`` in [0, 1]: black, red, yellow, white, ever lighter."""
    return (255 * (3 * share[..., None] - np.arange(3)).clip(0, 1)).round().astype(np.uint8)


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


# -- the page -------------------------------------------------------------------------------------


def page() -> str:
    """Return the page as HTML; it loads nothing but what it is told."""
    names = "".join(
        f'<option{" selected" * (name == DEFAULT_PROFILE)} title="{html.escape(summary)}">{html.escape(name)}</option>'
        for name, summary in profiles().items()
    )
    targets = "".join(f'<option value="{key}">{said}</option>' for key, said in TARGETS.items())
    return pages.filled("demo", ("pictures", "viewer"), profiles=names, targets=targets)
