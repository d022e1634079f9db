"""Pictures of one size, or files of them, together: networks in integers see several at once, all others one after another.

A latent in tiles is none of them: it is large enough by itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from licframe.bitstream.container import File
from licframe.codec import scale
from licframe.codec.batching import in_batches
from licframe.codec.decoding import Decoding
from licframe.codec.detail import base_context, in_steps, quality_of_step
from licframe.codec.encoding import Encoding, WholeTrial
from licframe.codec.interface import Decoded
from licframe.codec.trials import DIFFERS
from licframe.errors import CorruptStreamError
from licframe.model import latent_coding
from licframe.model.gains import error_weight
from licframe.model.latent_coding import CodedLatent
from licframe.model.tiled_coding import TiledLatent, Tiles
from licframe.picture import alpha
from licframe.picture.images import Picture
from licframe.picture.region import box_of
from licframe.runtime.clock import Clock
from licframe.runtime.limits import Limits

if TYPE_CHECKING:
    from licframe.codec.latent import LatentCodec

Latents = tuple[Tensor, Tensor | None]
"""Of a file the decoded latent, and that of its details (see ``CodedLatent.y``); None without."""


def code(encodings: Sequence[Encoding], quality: int) -> None:
    """Code pictures of one size at a quality, each as it would be alone: what their trials need is then there."""
    first = encodings[0]
    model, layer, clock = first.codec.model, first.codec.detail, first.clock
    for setting in first.settings(quality):
        latents = [encoding.analysed(setting.latent) for encoding in encodings]
        bases = latent_coding.encode_many(model, latents, setting.latent, clock)
        for encoding, latent, coded in zip(encodings, latents, bases, strict=True):
            encoding.bases[setting.latent] = latent, _as_tile(coded)
        if setting.step is None or layer is None:
            continue
        differences = [encoding.left_out(encoding.base(quality, setting)) for encoding in encodings]
        at = quality_of_step(setting.step)
        with clock("detail"):
            latents = [layer.model.analyse(difference, at) for difference in differences]
            given = base_context(model, torch.cat([coded.y for coded in bases]), setting.latent)
            weight = in_steps(error_weight(scale.place(quality)), at)
            details = latent_coding.encode_many(
                layer.model, latents, at, Clock(), given=given, weight=weight
            )
        for encoding, coded in zip(encodings, details, strict=True):
            encoding.details[quality] = _as_tile(coded)


def check(encodings: Sequence[Encoding], trials: Sequence[WholeTrial]) -> None:
    """Decode what is to be written of pictures of one size, and compare.

    Raises:
        CorruptStreamError: it differs.
    """
    codec, clock = encodings[0].codec, encodings[0].clock
    files = [encoding.file(trial) for encoding, trial in zip(encodings, trials, strict=True)]
    with clock("check"):
        found = in_batches(
            files, lambda some: decoded(codec, some, Clock()), lambda file: (kind_of(file), len(files))
        )
        for (y, r), trial in zip(found, trials, strict=True):
            sound = torch.equal(y, trial.coded.y)
            if r is not None and trial.detail is not None:
                sound = sound and torch.equal(r, trial.detail.y)
            if not sound:
                raise CorruptStreamError(DIFFERS)


def kind_of(file: File) -> Hashable:
    """Return what files have in common that are decoded together."""
    header, detail = file.header, file.detail
    quality = None if detail is None else detail.quality
    return header.width, header.height, header.latent_quality, header.revision >= 2, quality


def decode(codec: LatentCodec, files: Sequence[File], limits: Limits) -> list[Decoded]:
    """Decompress files of one kind; of one in tiles that alone."""
    clock = Clock(limits.seconds * len(files))
    decodings = [Decoding(codec, file, clock) for file in files]
    if not files[0].tile:
        for decoding, latents in zip(decodings, decoded(codec, files, clock), strict=True):
            decoding.take(*latents)
    box = box_of(None, files[0].header.width, files[0].header.height)
    pictures = [
        Picture(decoding.pixels(box), file.metadata, alpha.read(file))
        for decoding, file in zip(decodings, files, strict=True)
    ]
    return [Decoded(picture, clock.shares(len(files))) for picture in pictures]


def decoded(codec: LatentCodec, files: Sequence[File], clock: Clock) -> list[Latents]:
    """Return the latents of files of one kind, none of them in tiles.

    Raises:
        CorruptStreamError: one is damaged, or this machine computes differently.
    """
    header, detail = files[0].header, files[0].detail
    tiles, flags = Tiles(header.height, header.width), header.revision >= 2
    model, quality = codec.model, header.latent_quality
    streams = [file.payloads[0] for file in files]
    shape = tiles.shape(model.transform.stride)
    y = latent_coding.decode_many(model, streams, quality, shape, clock, flags=flags)
    if detail is None or codec.detail is None:
        return [(one, None) for one in y.split(1)]
    layer = codec.detail.model
    streams = [(one.payload, one.digest) for file in files for one in file.details if one is not None]
    shape = tiles.shape(layer.transform.stride)
    with clock("detail"):
        given = base_context(model, y, quality)
        r = latent_coding.decode_many(
            layer, streams, detail.quality, shape, clock, flags=flags, given=given
        )
    return list(zip(y.split(1), r.split(1), strict=True))


def _as_tile(coded: CodedLatent) -> TiledLatent:
    return TiledLatent(coded.quality, ((coded.payload, coded.digest),), coded.information, coded.y)
