"""The codec: pictures to .lic files, and back."""

import functools
from importlib.metadata import version

import torch
from torch import Tensor

from licframe.parts import (
    DEFAULT_LIMITS,
    Clock,
    CorruptStreamError,
    Decoded,
    Decoder,
    Encoded,
    Encoder,
    File,
    Header,
    ImageCodec,
    Limits,
    Picture,
    Stream,
    Target,
    WeightsMismatchError,
    encode_alpha,
    pixels_of,
    read_alpha,
    read_file,
    search,
    tensor_of,
    whole_quality,
    write_file,
)

from .blocks import FRACTION, FREQUENCIES, SIDE, analyse, synthesise
from .plugin import DctOptions
from .symbols import code, pack, unpack

LABEL = "dct 1"
"""Name and version of the part, as files name their codec; its side stream bears the same."""
SCALE = range(101)


class Dct(ImageCodec):
    """8x8 cosine transforms, one quantisation step, and the exact range coder; keeps alpha and metadata."""

    version = f"licframe-dct {version('licframe-dct')}"
    qualities = (10, 15, 20, 25, 30, 35, 40, 50)

    def __init__(self, options: DctOptions) -> None:
        self.options = options

    def encode(self, picture: Picture, target: Target | None = None) -> Encoded:
        target, clock = target or Target(), Clock()
        width, height = picture.size
        with clock("alpha"):
            alpha = None if picture.alpha is None else encode_alpha(picture.alpha)
        with clock("analysis"):
            coefficients = analyse(_samples_of(picture))

        @functools.cache
        def trial(quality: float) -> tuple[bytes, float]:
            """Return a whole file, and the information in it in bits."""
            whole = whole_quality(quality)
            step = _step(whole, picture.depth)
            with clock("coding"):
                payload, tables, encoder = _coded(coefficients, step, self.options.rounding)
            header = Header(
                width, height, picture.mode, whole, "dct", (), b"", depth=picture.depth, codec=LABEL
            )
            streams = {LABEL: Stream(pack(step, tables))}
            file = File(header, ((payload, encoder.digest),), picture.metadata, alpha, streams)
            return write_file(file), encoder.bits + 8 * len(streams[LABEL].data)

        def psnr(quality: float) -> float:
            return picture.psnr(self.decode(trial(quality)[0]).picture.pixels)

        quality = search(target, SCALE, 50, width * height, lambda q: len(trial(q)[0]), psnr)
        data, information = trial(quality)
        return Encoded(data, quality, clock.seconds, information)

    def decode(self, data: bytes, limits: Limits = DEFAULT_LIMITS, *, best_effort: bool = False) -> Decoded:
        clock = Clock(limits.seconds)
        with clock("alpha"):
            file = read_file(data, limits, best_effort=best_effort)
            damage = list(file.damage)
            alpha = read_alpha(file, damage if best_effort else None)
        header = file.header
        if header.codec != LABEL:
            raise WeightsMismatchError(f"the file needs {header.codec or 'weights'}; this codec is {LABEL}")
        with clock("coding"):
            coefficients = _decoded(file)
        with clock("synthesis"):
            samples = synthesise(coefficients, header.height, header.width)
            image = (samples / (2**header.depth - 1)).expand(3, -1, -1)[None]
            picture = Picture(pixels_of(image, header.mode, header.depth), file.metadata, alpha)
        return Decoded(picture, clock.seconds, tuple(damage))


def _samples_of(picture: Picture) -> Tensor:
    """Return samples ``(P, H, W)``, P = 1 or 3, float64; filled in where nobody sees them."""
    image = tensor_of(picture)[0].double() * (2**picture.depth - 1)
    return image if "RGB" in picture.mode else image[:1]


def _step(quality: int, depth: int) -> int:
    """Return the quantisation step: 512 of 255 levels at quality 0, 2 at 100."""
    return round(2 ** (FRACTION + 1 + (100 - quality) / 12.5) * (257 if depth == 16 else 1))


def _coded(coefficients: Tensor, step: int, rounding: float) -> tuple[bytes, Tensor, Encoder]:
    """Return the payload, the tables that fit it, and the encoder that wrote it."""
    symbols = (coefficients.abs() / step + rounding).floor() * coefficients.sign()
    symbols[:, 0] = _differences(symbols[:, 0])
    tables = torch.full((len(symbols), FREQUENCIES, 4), -1)
    encoder = Encoder()
    code(encoder, tables, symbols)
    return encoder.finish(), tables, encoder


def _decoded(file: File) -> Tensor:
    """Return the coefficients ``(P, 64, rows, columns)`` of a file."""
    header = file.header
    file.check_streams(LABEL)
    if LABEL not in file.streams:
        raise CorruptStreamError(f'the file holds no side stream "{LABEL}"; get a new copy of it')
    planes = 3 if "RGB" in header.mode else 1
    step, tables = unpack(file.streams[LABEL].data, planes)
    symbols = torch.zeros(
        planes, FREQUENCIES, -(-header.height // SIDE), -(-header.width // SIDE), dtype=torch.float64
    )
    ((payload, digest),) = file.payloads
    decoder = Decoder(payload)
    code(decoder, tables, symbols)
    decoder.finish()
    if decoder.digest != digest:
        raise CorruptStreamError("the digest of the decoded symbols does not match; the file is damaged")
    symbols[:, 0] = _sums(symbols[:, 0])
    return symbols * step


def _differences(means: Tensor) -> Tensor:
    """Return what is new in each block's mean: its difference to the block on its left, or above in the first column."""
    found = means.diff(dim=2, prepend=torch.zeros_like(means[..., :1]))
    found[..., 0] = means[..., 0].diff(dim=1, prepend=torch.zeros_like(means[:, :1, 0]))
    return found


def _sums(differences: Tensor) -> Tensor:
    """Invert :func:`_differences`."""
    found = differences.clone()
    found[..., 0] = found[..., 0].cumsum(1)
    return found.cumsum(2)
