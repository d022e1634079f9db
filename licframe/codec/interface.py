"""What every codec is: a picture to the bytes of a file, and back."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import IO, Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.codec.batching import one_by_one
from licframe.codec.target import Target, search
from licframe.errors import UsageError
from licframe.picture.images import Picture, as_picture, from_array
from licframe.picture.region import Region
from licframe.runtime.atomic import bytes_of
from licframe.runtime.clock import Clock
from licframe.runtime.limits import DEFAULT, Limits

Readable = Picture | Image.Image | NDArray[Any] | str | os.PathLike[str] | bytes | IO[bytes]
"""A picture, or what one is read from."""


@attrs.frozen
class Encoded:
    """A compressed picture.

    Attributes:
        data: the file.
        quality: what it was coded at, on the codec's own scale.
        seconds: time of each stage.
        information: bits of the symbols under the tables that coded them; None where a codec cannot tell.
        lossless: the decoded picture is the picture, but for the colour of what is fully transparent.
        notes: what whoever asked for it should know, a sentence each.
    """

    data: bytes
    quality: float
    seconds: dict[str, float]
    information: float | None = None
    lossless: bool = False
    notes: tuple[str, ...] = ()


@attrs.frozen
class Decoded:
    """A decompressed picture.

    Attributes:
        picture: the picture.
        seconds: time of each stage.
        damage: what a damaged file no longer holds, a sentence each; empty unless asked for best effort.
    """

    picture: Picture
    seconds: dict[str, float]
    damage: tuple[str, ...] = ()


@attrs.frozen
class Capabilities:
    """What a codec can do.

    Attributes:
        lossless: the decoded picture is the picture, but for the colour of what is fully transparent.
        weights: it needs trained weights.
        depths: bits per sample that it keeps.
        grey: it keeps a grey picture grey; else it becomes RGB.
        alpha: it keeps alpha.
        metadata: it keeps ICC profiles, EXIF and XMP.
        checksums: a damaged file is an error, never another picture.
    """

    lossless: bool = False
    weights: bool = False
    depths: tuple[int, ...] = (8, 16)
    grey: bool = True
    alpha: bool = True
    metadata: bool = True
    checksums: bool = True


class ImageCodec(ABC):
    """Picture to bytes and back. ``licframe.load`` makes one from a profile.

    A plugin provides one through the hook ``licframe_codecs``, built as ``Class(options)``; a constructor raises
    PluginLoadError where a package or program that it needs is not installed, and says how to get it.
    """

    #: what exactly runs: library and version, weights; results of another version are another codec's
    version: str
    #: qualities worth measuring, about 0.1 to 2 bpp on photographs, on the codec's own scale; one will do without loss
    qualities: Sequence[float]
    capabilities: ClassVar[Capabilities] = Capabilities()
    #: of the files that it writes; what is not ".lic" only this codec reads
    suffix: str = ".lic"

    @abstractmethod
    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        """Compress a picture.

        Raises:
            UsageError: a quality outside the codec's scale; LimitError: the target cannot be met.
        """

    def encode_many(self, pictures: Sequence[Picture], target: Target | None = None) -> list[Encoded]:
        """Compress pictures of any sizes, with one target for each; by default one after another.

        Files are those of ``encode``. A time is a picture's share of that of those that were compressed together.

        Raises:
            LicframeError: as ``encode``, with the picture's number in front where there are several.
        """
        return one_by_one(pictures, lambda picture: self.encode(picture, target))

    @abstractmethod
    def decode(self, data: bytes, limits: Limits = DEFAULT, *, best_effort: bool = False) -> Decoded:
        """Decompress a file that ``encode`` made.

        Args:
            best_effort: do without damaged metadata, alpha or details, and say so in the result; codecs of files that
                hold none of them ignore it.

        Raises:
            CorruptStreamError: damaged; WeightsMismatchError: made with other weights; LimitError.
        """

    def decode_many(self, files: Sequence[bytes], limits: Limits = DEFAULT) -> list[Decoded]:
        """Decompress files that ``encode`` made; by default one after another. Pictures are those of ``decode``.

        Raises:
            LicframeError: as ``decode``, with the file's number in front where there are several.
        """
        return one_by_one(files, lambda data: self.decode(data, limits))

    def decode_region(
        self, data: bytes, region: Region, limits: Limits = DEFAULT, *, best_effort: bool = False
    ) -> Decoded:
        """Decompress a part of a picture: x, y, width and height in pixels; by default all is decoded, and cut.

        Raises:
            UsageError: the region does not lie within the picture. Others as ``decode``.
        """
        decoded = self.decode(data, limits, best_effort=best_effort)
        return attrs.evolve(decoded, picture=decoded.picture.part(region))

    def decode_preview(
        self,
        data: bytes,
        leave_out: int = 0,
        limits: Limits = DEFAULT,
        *,
        best_effort: bool = False,
        region: Region | None = None,
    ) -> Decoded:
        """Decompress the coarser levels of a picture, from a file that may be cut short; by default there is no such thing.

        Args:
            leave_out: how many of the finest levels are left out; 0 takes all that is there.

        Raises:
            UsageError: the codec has no levels. Others as ``decode`` and ``decode_region``.
        """
        raise UsageError(
            f"there is no preview of this file: {self.version.split(',')[0]} decodes it whole or not at all; leave the "
            "preview out"
        )

    def verify(self, data: bytes, limits: Limits = DEFAULT) -> None:
        """Check a file as far as that can be done; raises as ``decode``."""
        self.decode(data, limits)

    def compress(
        self,
        image: Readable,
        quality: float | None = None,
        *,
        bpp: float | None = None,
        size: int | None = None,
        psnr: float | None = None,
        ssimulacra2: float | None = None,
    ) -> bytes:
        """Compress an image to the bytes of a file.

        Args:
            image: a path, bytes or a stream of a picture file, a Pillow image, or uint8 or uint16 ``(H, W)`` or ``(H, W, 1 .. 4)``.
            quality: on the codec's own scale: for profiles 0 (smallest) to 100, 50 if nothing else is asked for.
            bpp: largest rate in bits per pixel; size: largest file in bytes; psnr: least PSNR in
                dB; ssimulacra2: least score of that metric. At most one of the five; the search is on real files.

        Raises:
            ImageError, LimitError: the image is not supported, or the target cannot be met.
        """
        target = Target(quality=quality, bpp=bpp, size=size, psnr=psnr, ssimulacra2=ssimulacra2)
        return self.encode(as_picture(image), target).data

    def compress_many(
        self,
        images: Sequence[Readable],
        quality: float | None = None,
        *,
        bpp: float | None = None,
        size: int | None = None,
        psnr: float | None = None,
        ssimulacra2: float | None = None,
    ) -> list[bytes]:
        """Compress images to the bytes of a file each: those that ``compress`` makes, in less time where it can be.

        Args:
            images: of any sizes; all are held in memory. The other arguments, one for all, are those of ``compress``.

        Raises:
            LicframeError: as ``compress``, with the image's number in front where there are several.
        """
        target = Target(quality=quality, bpp=bpp, size=size, psnr=psnr, ssimulacra2=ssimulacra2)
        pictures = one_by_one(images, as_picture)
        return [encoded.data for encoded in self.encode_many(pictures, target)]

    def decompress(self, data: str | os.PathLike[str] | bytes | IO[bytes]) -> Image.Image:
        """Decompress a file that ``compress`` made: a path, its bytes or a stream of them; raises as ``decode``.

        Raises:
            FileError: it cannot be read.
        """
        return self.decode(bytes_of(data)).picture.to_pil()

    def decompress_many(
        self, files: Sequence[str | os.PathLike[str] | bytes | IO[bytes]]
    ) -> list[Image.Image]:
        """Decompress files that ``compress`` made; see ``decode_many``."""
        data = one_by_one(files, bytes_of)
        return one_by_one(self.decode_many(data), lambda decoded: decoded.picture.to_pil())


class PixelCodec(ImageCodec):
    """A codec of uint8 pixels ``(H, W, 3)`` with one number for the quality: other formats, and programs.

    Its ``qualities`` go from the smallest file to the largest: a search for a target tries them in that order. A subclass
    gives ``encode_pixels`` and ``decode_pixels``; alpha, metadata and further bits are refused or left out as
    its ``capabilities`` say.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        depths=(8,), grey=False, alpha=False, metadata=False, checksums=False
    )

    @abstractmethod
    def encode_pixels(self, pixels: NDArray[np.uint8], quality: float) -> bytes:
        """Return a whole file for uint8 pixels ``(H, W, 3)``."""

    @abstractmethod
    def decode_pixels(self, data: bytes) -> NDArray[np.uint8]:
        """Return uint8 pixels ``(H, W, 3)`` of a file that ``encode_pixels`` made."""

    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        target = target or Target()
        clock, picture = Clock(), picture.to_rgb()
        pixels = picture.pixels
        files: dict[float, bytes] = {}

        def size(quality: float) -> int:
            if quality not in files:
                with clock("encode"):
                    files[quality] = self.encode_pixels(pixels, quality)
            return len(files[quality])

        def fidelity(quality: float) -> float:
            size(quality)
            return picture.fidelity(target.fidelity or "psnr", self.decode_pixels(files[quality]))

        scale = self.qualities
        quality = search(
            target, scale, scale[len(scale) // 2], pixels.shape[0] * pixels.shape[1], size, fidelity
        )
        size(quality)
        return Encoded(files[quality], quality, clock.seconds)

    def decode(self, data: bytes, limits: Limits = DEFAULT, *, best_effort: bool = False) -> Decoded:
        clock = Clock(limits.seconds)
        with clock("decode"):
            pixels = self.decode_pixels(data)
        limits.check(pixels.shape[1], pixels.shape[0], "the image in the file")
        return Decoded(from_array(pixels, limits=limits), clock.seconds)
