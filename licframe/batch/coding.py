"""What a worker does with a file: a picture to a ``.lic`` file, or back."""

from __future__ import annotations

import hashlib
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from licframe.bitstream import container
from licframe.codec.target import Target
from licframe.errors import LicframeError, LicframeWarning, UsageError, located
from licframe.profile import weights
from licframe.profile.profile import LatentProfile, Profile, latent_profile, load_profile
from licframe.runtime.atomic import read_file, to_json
from licframe.runtime.limits import DEFAULT, Limits

if TYPE_CHECKING:
    from licframe.codec.interface import ImageCodec
    from licframe.picture.images import Picture

_HEAD = 4096
"""Bytes that hold the header of a ``.lic`` file."""


@attrs.frozen(kw_only=True)
class Coded:
    """The file that was made, and what there is to say of it.

    Attributes:
        bpp: rate of the ``.lic`` file; psnr: of the decoded picture, in dB, where that was asked for.
        seconds: time of coding. codec: its version, with its weights.
    """

    data: bytes
    width: int
    height: int
    bpp: float
    quality: float
    lossless: bool
    notes: tuple[str, ...]
    seconds: float
    codec: str
    psnr: float | None = None


class Coder(ABC):
    """What makes one file of another."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what the results depend on, as JSON holds it; the device and the limits are no part of it.

        Raises:
            ProfileError, WeightsMismatchError: no result can be had with these.
        """

    @abstractmethod
    def ready(self) -> None:
        """Load what all files need, unless it is there; what this raises is no fault of a file."""

    @abstractmethod
    def __call__(self, source: Path | bytes, where: str = "") -> Coded:
        """Return the file that is made of another.

        Args:
            where: name of the file that the bytes are of, for messages.

        Raises:
            LicframeError: that is not possible.
        """


@attrs.frozen(kw_only=True, slots=False)
class Compressing(Coder):
    """Pictures to ``.lic`` files.

    Attributes:
        profile: name or path; overrides: ``table.key=value`` texts; device: see ``licframe.load``.
        strip: leave out metadata. first_frame: of an animation, take that.
        measure: decode every file, and measure its PSNR.
    """

    profile: str
    overrides: tuple[str, ...] = ()
    target: Target = attrs.field(factory=Target)
    limits: Limits = DEFAULT
    device: str = "cpu"
    strip: bool = False
    first_frame: bool = False
    measure: bool = False

    @cached_property
    def codec(self) -> ImageCodec:
        """The codec of the profile."""
        from licframe.codec.loading import load

        codec = load(self.profile, self.overrides, device=self.device)
        if codec.suffix != ".lic":
            raise UsageError(
                f"{Path(self.profile).stem} is a codec of {codec.suffix} files, which licframe decompress does not read; "
                "measure it with licframe run, or name a profile of .lic files"
            )
        return codec

    def settings(self) -> dict[str, Any]:
        """See ``Coder.settings``."""
        profile = load_profile(self.profile, self.overrides)
        target = {k: v for k, v in attrs.asdict(self.target).items() if v is not None}
        return {
            "command": "compress",
            "profile": profile.name,
            "profile_sha256": _digest(profile),
            "weights": _fingerprints(profile),
            "target": target,
            "strip": self.strip,
            "first_frame": self.first_frame,
            "measure": self.measure,
        }

    def ready(self) -> None:
        """Load the codec."""
        _ = self.codec

    def picture(self, source: Path | bytes, where: str = "") -> Picture:
        """Return the picture of a file."""
        from licframe.picture.images import read_picture

        picture = read_picture(source, self.limits, first_frame=self.first_frame, where=where)
        return attrs.evolve(picture, metadata={}) if self.strip else picture

    def __call__(self, source: Path | bytes, where: str = "") -> Coded:
        return self.encoded(self.picture(source, where))

    def encoded(self, picture: Picture) -> Coded:
        """Return the ``.lic`` file of a picture."""
        encoded = self.codec.encode(picture, self.target)
        width, height = picture.size
        return Coded(
            data=encoded.data,
            width=width,
            height=height,
            bpp=8 * len(encoded.data) / (width * height),
            quality=encoded.quality,
            lossless=encoded.lossless,
            notes=encoded.notes,
            seconds=sum(encoded.seconds.values()),
            codec=self.codec.version,
            psnr=self._psnr(picture, encoded.data) if self.measure else None,
        )

    def _psnr(self, picture: Picture, data: bytes) -> float:
        shown = self.codec.decode(data, self.limits).picture
        if shown.mode != picture.mode or shown.depth != picture.depth:  # a codec that keeps less than that
            picture = picture.to_rgb()
        return picture.psnr(shown.pixels)


@attrs.frozen(kw_only=True, slots=False)
class Decompressing(Coder):
    """``.lic`` files to pictures.

    Attributes:
        suffix: what their names end in; quality: of those that have one.
        profile: that has the weights; None for those that come with licframe. device: see ``licframe.load``.
        strip: leave out metadata.
    """

    suffix: str = ".png"
    quality: int | None = None
    profile: str | None = None
    limits: Limits = DEFAULT
    device: str = "cpu"
    strip: bool = False

    def settings(self) -> dict[str, Any]:
        """See ``Coder.settings``."""
        return {
            "command": "decompress",
            "suffix": self.suffix,
            "quality": self.quality,
            "profile": self.profile,
            "strip": self.strip,
        }

    def ready(self) -> None:
        """Wait for the first file: it says which codec it needs."""

    def __call__(self, source: Path | bytes, where: str = "") -> Coded:
        data = source if isinstance(source, bytes) else read_file(source)
        # checked without torch: most damage then shows at once
        header = container.read(data, self.limits).header
        from licframe.codec.loading import keeps_all, load_for

        codec = load_for(header, self.profile, device=self.device)
        decoded = codec.decode(data, self.limits)
        picture = attrs.evolve(decoded.picture, metadata={}) if self.strip else decoded.picture
        return Coded(
            data=picture.encode(self.suffix, where or "the picture", quality=self.quality),
            width=header.width,
            height=header.height,
            bpp=8 * len(data) / (header.width * header.height),
            quality=header.quality,
            lossless=bool(header.codec) and keeps_all(header),
            notes=decoded.damage,
            seconds=sum(decoded.seconds.values()),
            codec=codec.version,
        )


def _digest(profile: Profile) -> str:
    """Return a digest of what a profile says of the encoder; its weights have fingerprints of their own."""
    tables = profile.tables()
    told = {k: v for k, v in tables.items() if k not in ("summary", "training", "weights", "detail")}
    return sha256(to_json(told).encode())


def _fingerprints(profile: Profile) -> list[str]:
    """Return the fingerprints of all weights that a profile uses."""
    path = profile.weights_path
    if path is None or not isinstance(profile, LatentProfile):
        return []
    found = weights.find(path, profile.structure())
    own = [text for text in (found.fingerprint, found.synthesis) if text]
    return own if profile.detail_path is None else own + _fingerprints(latent_profile(profile.detail_path))


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of a file.

    Attributes:
        coded: what was made of it; error: why nothing was. Neither where all is as it was.
        warned: of what was warned meanwhile.
        input_sha256, input_bytes: of the file; seconds: that it took, measuring included.
    """

    coded: Coded | None = None
    error: LicframeError | None = None
    warned: tuple[tuple[type[Warning], str], ...] = ()
    input_sha256: str | None = None
    input_bytes: int | None = None
    seconds: float = 0.0


@attrs.frozen
class Attempts:
    """A coder, for workers: what goes wrong with a file is returned, and ends nothing."""

    coder: Coder

    def __call__(self, source: Path | bytes, where: str = "") -> Outcome:
        self.coder.ready()
        coded, failed, begin = None, None, time.perf_counter()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", LicframeWarning)
            try:
                coded = self.coder(source, where)
            except LicframeError as error:
                failed = error
            except Exception as error:  # noqa: BLE001 - a fault of ours in one file is none in the others
                failed = LicframeError(f"unexpected {type(error).__name__}: {error}")
        if failed is not None and where not in str(failed):
            failed = located(failed, where)
        return Outcome(
            coded=coded,
            error=failed,
            warned=tuple((w.category, str(w.message)) for w in said),
            seconds=time.perf_counter() - begin,
        )


@attrs.frozen
class Job:
    """A file of a batch.

    Attributes:
        source: the file; where: its name in messages. output: the file that is made of it.
        done: SHA-256 of both, if that is done; while they are what they were, nothing is to be done.
        fetched: what ``read`` returned where the files are, if the worker is elsewhere.
    """

    source: Path
    where: str
    output: Path
    done: tuple[str | None, str | None] | None = None
    fetched: bytes | Outcome | None = attrs.field(default=None, repr=False)

    def read(self) -> bytes | Outcome:
        """Return the bytes of the file; where it cannot be read, or is done, what becomes of it."""
        try:
            data = read_file(self.source)
        except LicframeError as error:
            return Outcome(error=error)
        if self.done is not None and self.done == (digest := sha256(data), sha256_of(self.output)):
            return Outcome(input_sha256=digest)
        return data


@attrs.frozen
class Fetched(Sequence[Job]):
    """Jobs for workers on machines that have no files: each is read when it is taken, and kept by nobody."""

    jobs: Sequence[Job]

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, number: Any) -> Any:
        job = self.jobs[number]
        return attrs.evolve(job, fetched=job.read())


@attrs.frozen
class Jobs:
    """Attempts at the files of a batch that are not done yet."""

    coder: Coder

    def __call__(self, job: Job) -> Outcome:
        data = job.read() if job.fetched is None else job.fetched
        if isinstance(data, Outcome):
            return data
        outcome = Attempts(self.coder)(data, job.where)
        return attrs.evolve(outcome, input_sha256=sha256(data), input_bytes=len(data))


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str | None:
    """Return the SHA-256 of a file; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def pixels_of(path: Path) -> int:
    """Return how many pixels a picture or a ``.lic`` file says that it has; 0 where it cannot be told."""
    from PIL import Image

    from licframe.picture.opening import pillow_unlimited

    with suppress(Exception), path.open("rb") as file:
        head = file.read(_HEAD)
        if head.startswith(container.MAGIC):
            header = container.read_header(head)
            return header.width * header.height
        file.seek(0)
        with pillow_unlimited(), warnings.catch_warnings(action="ignore"), Image.open(file) as image:
            return image.width * image.height
    return 0
