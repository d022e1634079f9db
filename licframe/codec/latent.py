"""The latent codec: a latent model with an identity and an encoder's settings."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import attrs
import torch
from torch import Tensor

import licframe
from licframe.bitstream import container
from licframe.codec import corrections, notes, scale
from licframe.codec.corrections import FindFilter
from licframe.codec.detail import DetailLayer, base_context
from licframe.codec.encoding import Encoding
from licframe.codec.interface import Capabilities, Decoded, Encoded, ImageCodec
from licframe.codec.target import Target, search
from licframe.errors import CorruptStreamError, WeightsMismatchError
from licframe.model import latent_coding
from licframe.model.interfaces import PictureFilter, Refiner
from licframe.model.latent_model import LatentModel
from licframe.picture import alpha
from licframe.picture.images import Picture
from licframe.picture.tensors import pixels_of
from licframe.profile.profile import LatentProfile
from licframe.runtime.clock import Clock
from licframe.runtime.limits import DEFAULT, Limits


@attrs.define(eq=False, slots=False)
class LatentCodec(ImageCodec):
    """A latent model that writes and reads .lic files; ``licframe.load`` makes one from a profile.

    Attributes:
        profile: what it was made from.
        model: frozen; everything that decides symbols and pictures.
        refiner, picture_filter: what the encoder does with every picture.
        find_filter: finds the filters that other files ask for.
        fingerprint: of the weights that fix the symbols, 32 bytes.
        synthesis: fingerprint of the weights of another synthesis for the same files; empty for the model's own.
        detail: what codes what the latent leaves out; None for nothing.
    """

    profile: LatentProfile
    model: LatentModel
    refiner: Refiner
    picture_filter: PictureFilter
    find_filter: FindFilter
    fingerprint: bytes = bytes(32)
    synthesis: str = ""
    detail: DetailLayer | None = None
    version: str = attrs.field(init=False)

    qualities = (0, 15, 30, 40, 50, 60, 70, 80, 90, 100)
    capabilities: ClassVar[Capabilities] = Capabilities(weights=True)

    @version.default
    def _(self) -> str:
        text = f"licframe {licframe.__version__}, weights {self.fingerprint[:6].hex()}"
        if self.synthesis:
            text += f", synthesis {self.synthesis[:12]}"
        if self.detail is not None:
            text += f", detail {self.detail.fingerprint[:6].hex()}"
        if self.picture_filter.sends:
            text += f", {self.profile.picture_filter.described}"
        if self.refiner.searches:
            text += f", {self.profile.refiner.described}"
        return text

    @property
    def shows(self) -> bytes:
        """First bytes of the fingerprint of the weights whose pictures it shows."""
        return bytes.fromhex(self.synthesis)[:6] if self.synthesis else self.fingerprint[:6]

    # -- a picture to a file --------------------------------------------------------------------

    @torch.inference_mode()
    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        """Compress a picture; what was written is decoded again before it is returned."""
        target, clock = target or Target(), Clock()
        looks = target.fidelity is not None
        encoding = Encoding(self, picture, clock, filtering=looks)
        width, height = picture.size
        quality = search(
            target,
            scale.SCALE,
            scale.DEFAULT,
            width * height,
            lambda q: len(encoding.packed(encoding.trial(scale.whole(q)))),
            lambda q: encoding.fidelity(encoding.trial(scale.whole(q)), target.fidelity),
        )
        plain = encoding.trial(scale.whole(quality))
        encoding.forget()
        filtered = plain if looks else encoding.filtered(plain)
        for best in (encoding.refined(filtered), filtered, plain):
            data = encoding.packed(best)
            if target.met(len(data), width * height, partial(encoding.fidelity, best, target.fidelity)):
                break
        encoding.check(best)
        said = notes.of_synthesised(
            self.profile,
            picture,
            best.quality,
            best.error or filtered.error,
            partial(encoding.fidelity, best),
        )
        return Encoded(data, best.quality, clock.seconds, best.information, notes=said)

    # -- a file to a picture --------------------------------------------------------------------

    @torch.inference_mode()
    def decode(self, data: bytes, limits: Limits = DEFAULT, *, best_effort: bool = False) -> Decoded:
        """Decompress a .lic file; with best effort without damaged metadata, alpha, side streams or details."""
        clock = Clock(limits.seconds)
        with clock("file"):
            file = self._own(container.read(data, limits, best_effort=best_effort))
            header, damage = file.header, list(file.damage)
            opacity = alpha.read(file, damage if best_effort else None)
            filters = corrections.of_file(file.streams, self.find_filter, damage if best_effort else None)
        y = self._latent(file, clock)
        try:
            r = self._details(file, y, clock)
        except (CorruptStreamError, WeightsMismatchError) as error:
            if not best_effort:
                raise
            r = None
            damage.append(f"its details are left out: {error}")
        with clock("synthesis"):
            image = self.model.synthesise(y, header.latent_quality, header.height, header.width)
        with clock("filter"):
            image = corrections.apply_all(image, filters)
        if r is not None and file.detail is not None and self.detail is not None:
            with clock("detail"):
                image = self.detail.added(image, r, file.detail.quality)
        pixels = pixels_of(image, header.mode, header.depth)
        return Decoded(Picture(pixels, file.metadata, opacity), clock.seconds, tuple(damage))

    @torch.inference_mode()
    def verify(self, data: bytes, limits: Limits = DEFAULT) -> None:
        """Decode all symbols, side streams and the alpha plane of a file, and check them; raises as ``decode``."""
        clock = Clock(limits.seconds)
        file = self._own(container.read(data, limits))
        alpha.read(file)
        corrections.of_file(file.streams, self.find_filter)
        self._details(file, self._latent(file, clock), clock)

    def _own(self, file: container.File) -> container.File:
        header = file.header
        if header.codec or header.fingerprint != self.fingerprint[:6]:
            raise WeightsMismatchError(
                f"the file needs {header.codec or 'weights ' + header.fingerprint.hex()} of profile {header.profile}; "
                f"profile {self.profile.name} holds {self.fingerprint[:6].hex()}"
            )
        return file

    def _latent(self, file: container.File, clock: Clock) -> Tensor:
        """Return the decoded latent of the payload."""
        header, stride = file.header, self.model.transform.stride
        shape = [-(-side // stride) for side in (header.height, header.width)]
        ((payload, digest),) = file.payloads
        return latent_coding.decode(
            self.model, payload, digest, header.latent_quality, shape, clock, flags=header.revision >= 2
        )

    def _details(self, file: container.File, y: Tensor, clock: Clock) -> Tensor | None:
        """Return the decoded latent of the details above the latent ``y``; None where the file has none."""
        header, detail = file.header, file.detail
        if detail is None:
            return None
        if self.detail is None or detail.fingerprint != self.detail.fingerprint[:6]:
            raise WeightsMismatchError(
                f"the file's details need weights {detail.fingerprint.hex()} of a detail layer; profile "
                f"{self.profile.name} has {self.detail.fingerprint[:6].hex() if self.detail else 'none'}"
            )
        if detail.synthesis != self.shows:
            raise WeightsMismatchError(
                f"the file's details belong to pictures of weights {detail.synthesis.hex()}, not to those of "
                f"{self.shows.hex()}; decode it with the profile {header.profile} and its own decoder"
            )
        given = base_context(self.model, y, header.latent_quality)
        size = header.height, header.width
        return self.detail.decode(detail.payload, detail.digest, detail.quality, size, given, clock)
