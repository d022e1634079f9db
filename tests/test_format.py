"""docs/format.md is true: a reader made from it alone decodes the golden files."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

from licframe.bitstream import container
from licframe.codec.detail import base_context
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_for
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, LicframeError
from licframe.exact.units import CENTRE_FRACTION
from licframe.model import latent_coding
from licframe.model.interfaces import Known
from licframe.picture.images import Picture, read_picture
from licframe.runtime.clock import Clock
from licframe_plugins.picture_filters import wiener
from tests import reference
from tests.conftest import noise_picture

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.lic"))
LOSSLESS = [path for path in GOLDEN if container.read_header(path.read_bytes()).codec == "lossless 1"]
LATENT = [path for path in GOLDEN if path not in LOSSLESS]


@pytest.mark.parametrize("path", LATENT, ids=lambda p: p.stem)
def test_an_independent_reader_decodes_golden_files(path: Path) -> None:
    """Container, tables and range decoder are the reader's; the predictions are the codec's."""
    data = path.read_bytes()
    header, *_, tiles = reference.read_container(data)
    codec = load_for(container.read_header(data)).lossy
    assert codec.fingerprint[:6] == header["fingerprint"]
    places = reference.tiles_of(header, codec.model.transform.stride)
    for (payload, detail), place in zip(tiles, places, strict=True):
        y = latent_of(codec, header, payload, place[2:])
        if detail is not None:
            above = reference.tiles_of(header, 8)[places.index(place)]
            assert_details_decode(codec, header, reference.read_detail(detail), y, above[2:])


def latent_of(codec: LatentCodec, header: dict, payload: bytes, shape: tuple[int, int]) -> torch.Tensor:
    """The latent of a tile, or of a picture without tiles."""
    coder = reference.Coder(payload[4:])
    channels = codec.model.transform.latent_channels
    live = np.ones(channels, bool) if header["revision"] == 1 else ~coder.code_flags(channels)
    shapes = {"y": (channels, *shape), **codec.model.scheduler.side_shapes(*shape)}
    zeros = {name: torch.zeros(1, *size, dtype=torch.float64) for name, size in shapes.items()}
    known = Known(codec.model.units.exact_form(header["latent_quality"]), **zeros)

    def fix(step, parameters):
        residual = latent_coding.code_step(coder, codec.model, step, parameters, None, live, Clock())
        return codec.model.coding_model(step).exact_centre(parameters) + residual * 2.0**CENTRE_FRACTION

    with torch.no_grad():
        codec.model.walk(known, fix)
    assert coder.digest == int.from_bytes(payload[:4], "little")
    return known["y"]


def assert_details_decode(
    codec: LatentCodec, header: dict, detail: dict, y: torch.Tensor, shape: tuple[int, int]
) -> None:
    """As the latent, with a context that is given the base's."""
    layer = codec.detail.model
    assert codec.detail.fingerprint[:6] == detail["fingerprint"]
    coder = reference.Coder(detail["payload"])
    live = ~coder.code_flags(192)
    known = Known(
        layer.units.exact_form(detail["quality"]),
        base_context(codec.model, y, header["latent_quality"]),
        y=torch.zeros(1, 192, *shape, dtype=torch.float64),
    )

    def fix(step, parameters):
        return 64 * latent_coding.code_step(coder, layer, step, parameters, None, live, Clock())

    with torch.no_grad():
        layer.walk(known, fix)
    assert coder.digest == detail["digest"]


@pytest.mark.parametrize("path", LOSSLESS, ids=lambda p: p.stem)
def test_an_independent_reader_decodes_lossless_golden_files(path: Path) -> None:
    header, chunks, _, ((payload, _),) = reference.read_container(path.read_bytes())
    samples = reference.read_lossless(payload, header)

    picture = read_picture(path.with_suffix(".png"))
    together = chunks.get(b"A") == b""
    assert np.array_equal(samples, picture.samples if together else picture.pixels)


@pytest.mark.parametrize("seed", [0, 1])
def test_an_independent_reader_applies_filters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(wiener.SIZE) < 0.3, rng.integers(-400, 400, wiener.SIZE), 0)
    picture = rng.random((3, 9, 7)).astype(np.float32)
    coefficients = reference.read_filter(wiener.pack(steps))
    ours = wiener.apply(torch.from_numpy(picture)[None], wiener.unpack(wiener.pack(steps)))[0]

    assert np.array_equal(coefficients.ravel() * 256, steps)
    assert np.abs(ours.numpy() - reference.filtered(picture.astype(float), coefficients)).max() < 1e-4


def assert_both_readers_see_the_same(data: bytes) -> None:
    file = container.read(data)
    header, chunks, streams, tiles = reference.read_container(data)

    assert file.tile == header.pop("tile")
    assert (file.header.width, file.header.height) == header.pop("size")
    assert header == {name: getattr(file.header, name) for name in header}
    assert file.alpha == chunks.get(b"A")
    assert file.streams == {name: container.Stream(*stream) for name, stream in streams.items()}
    assert {"icc": b"I", "exif": b"E", "xmp": b"X"}.keys() >= file.metadata.keys()
    assert [file.metadata.get(n) for n in ("icc", "exif", "xmp")] == [
        chunks.get(k) for k in (b"I", b"E", b"X")
    ]
    details = [detail for _, detail in tiles if detail is not None]
    assert file.details == tuple(container.Detail(**reference.read_detail(detail)) for detail in details)
    assert [payload for payload, _ in tiles] == [d.to_bytes(4, "little") + p for p, d in file.payloads]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_both_readers_see_the_same_golden_file(path: Path) -> None:
    assert_both_readers_see_the_same(path.read_bytes())


@pytest.mark.parametrize(("codec", "fingerprint"), [("", b"print!"), ("dct 2", b"print!"), ("dct 2", b"")])
@pytest.mark.parametrize("critical", [True, False])
def test_both_readers_see_the_same_new_file(codec: str, fingerprint: bytes, *, critical: bool) -> None:
    """Codecs of other kinds, with and without weights; side streams of both sorts, one of them empty."""
    header = container.Header(
        width=300,
        height=1,
        mode="RGBA",
        quality=100,
        profile="mine_2.b",
        parts=("a 1", "b-c 12", "d 3") if not codec else (),
        fingerprint=fingerprint,
        depth=16,
        codec=codec,
        **({} if codec else {"latent_quality": -28}),
    )
    streams = {"dct 2": container.Stream(b"", critical), "a" * 63: container.Stream(b"S", not critical)}
    metadata = {"icc": b"i", "xmp": b"<x/>"}
    detail = container.Detail(100, b"weight", b"shower", b"details", 2**32 - 1)
    details = () if codec else (detail,)
    file = container.File(header, ((b"payload", 2**31),), metadata, b"alpha", streams, details)
    data = container.write(file)

    assert container.read(data).streams == streams
    assert_both_readers_see_the_same(data)


def test_a_new_file_holds_its_filter_as_a_side_stream(codec: LatentCodec, picture: Picture) -> None:
    """What the codec writes beside the symbols is what the page says: a critical stream, named after its part."""
    data = codec.encode(picture, Target(quality=50)).data
    header, _, streams, _ = reference.read_container(data)

    assert header["revision"] == 5
    ((name, (body, critical)),) = streams.items()
    assert (name, critical) == ("wiener 1", True)
    assert np.array_equal(reference.read_filter(body).ravel() * 256, wiener.unpack(body))


@pytest.mark.parametrize("details", [True, False])
def test_both_readers_see_the_same_tiles(*, details: bool) -> None:
    """Of all lengths, and more of them than a byte of the index counts."""
    header = container.Header(2000, 700, "L", 50, "mine", ("a 1", "b 1", "c 1"), b"print!")
    payloads = tuple((bytes([n]) * 40 * n, n) for n in range(6))
    above = tuple(container.Detail(7, b"weight", b"shower", b"d" * n, n) for n in range(6))
    file = container.File(header, payloads, details=above if details else (), tile=704)
    with pytest.raises(ValueError, match="one payload a tile"):
        container.write(file)
    data = container.write(attrs.evolve(file, payloads=payloads[:3], details=file.details[:3]))

    assert container.read(data).header.revision == 6
    assert_both_readers_see_the_same(data)


def changed_header(data: bytes, kind: int, names: str) -> bytes:
    """A file whose header has other flags and names, and the fingerprint that they ask for."""
    body, *rest = ((k, b) for k, b, _ in container.chunks(data))
    header = bytearray(body[1])
    header[1] |= kind
    if kind & 16:  # another codec has no quality of a latent
        del header[3]
    start = 6 - bool(kind & 16)  # a width and a height of one byte each, here
    fingerprint = b"" if kind & 32 else bytes(header[start : start + 6])
    header = header[:start] + fingerprint + container.pack_names(names)
    made = data[:8] + container.chunk(b"H", bytes(header))
    return made + b"".join(container.chunk(k, b) for k, b in rest)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (32, "tiny/residual 1/msp 1/gaussian 1"),
        (16, "tiny/"),
        (48, "tiny/"),
        (0, "tiny/residual 1//gaussian 1"),
    ],
)
def test_headers_without_weights_or_names_are_refused(codec, kind: int, names: str) -> None:
    """An empty fingerprint would fit any weights, and an empty name of a codec would be the latent one."""
    data = codec.encode(noise_picture(60, 40), Target(quality=20)).data
    with pytest.raises(CorruptStreamError):
        container.read_header(changed_header(data, kind, names))


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize("label", ["wiener 1", "none 1", "nobody's 1"])
def test_streams_that_cannot_be_read(codec, label: str, critical: bool) -> None:
    """A critical one stops the file, unless all that can be had is asked for; any other is left out."""
    label = label.replace("'", "")
    file = container.read(codec.encode(noise_picture(60, 40), Target(quality=20)).data)
    streams = {label: container.Stream(b"\x01\x02\x03", critical)}
    data = container.write(attrs.evolve(file, streams=streams))
    decoded = codec.decode(data, best_effort=True)

    assert any(label in sentence for sentence in decoded.damage)
    if critical:
        with pytest.raises(LicframeError):
            codec.decode(data)
    else:
        assert np.array_equal(codec.decode(data).picture.pixels, decoded.picture.pixels)
