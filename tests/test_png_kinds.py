"""PNG files of every kind: each is what its own bytes say, by whichever door, and comes back from a .lic file."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import attrs
import numpy as np
import pytest
from PIL import Image, ImageCms

import licframe
import licframe.pillow
from licframe.picture.images import Picture, read_picture
from tests.files import Chunks, png
from tests.test_cli import licframe as command
from tests.test_reading import by_all_doors

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
PLANES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
DEPTHS = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGB_ALPHA: (8, 16),
}
KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]
CLEAR = {GREY: ("", "key", "long key"), RGB: ("", "key", "long key"), PALETTE: ("", "one", "some")}
"""What a tRNS chunk says: nothing, a value (with bits beyond the depth, which do not count), or the alphas of a palette."""
SIZES = ((1, 1), (3, 7), (33, 5))

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a b="é"/></x:xmpmeta>'.encode()
POINTS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
"""White and primaries of Display P3, in 1/100000."""
GAMMA = (b"gAMA", struct.pack(">I", 50000))
PRIMARIES = (b"cHRM", struct.pack(">8I", *POINTS))
UPRIGHT = {1: "", 2: "x", 3: "xy", 4: "y", 5: "t", 6: "tx", 7: "txy", 8: "ty"}
"""What turns a picture of an orientation upright: transposed first, then mirrored in x, in y."""


@attrs.frozen
class Around:
    """Chunks around the pixels, and what they mean."""

    before: Chunks = ()
    after: Chunks = ()
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    orientation: int = 1
    described: bool = False  # by gAMA and cHRM


def exif(orientation: int | None, order: str) -> bytes:
    """Return EXIF of a maker, and an orientation."""
    entries = [struct.pack(order + "HHI4s", 0x010F, 2, 4, b"cam\0")]
    if orientation is not None:
        entries.append(struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(entries) + bytes(4)


def text(xmp: bytes, *, packed: bool) -> tuple[bytes, bytes]:
    """Return a chunk of XMP."""
    head = b"XML:com.adobe.xmp\0" + bytes([packed, 0, 0, 0])
    return b"iTXt", head + (zlib.compress(xmp) if packed else xmp)


PROFILE = (b"iCCP", b"a name\0\0" + zlib.compress(ICC))
AROUND = {
    "sRGB": Around([(b"sRGB", b"\0"), GAMMA, PRIMARIES]),
    "gAMA": Around([GAMMA], described=True),
    "gAMA and cHRM": Around([GAMMA, PRIMARIES], described=True),
    "gAMA of sRGB": Around([(b"gAMA", struct.pack(">I", 45455))]),
    "iCCP": Around([GAMMA, PRIMARIES, PROFILE], icc=ICC),
    "eXIf": Around([(b"eXIf", exif(None, ">"))], exif=exif(None, ">")),
    "eXIf upright": Around([(b"eXIf", exif(1, "<"))], exif=exif(1, "<")),
    "iTXt": Around([text(XMP, packed=False)], xmp=XMP),
    "iTXt packed": Around([text(XMP, packed=True)], xmp=XMP),
    "all": Around(
        [PROFILE, (b"eXIf", exif(6, ">")), text(XMP, packed=True)], icc=ICC, exif=b"", xmp=XMP, orientation=6
    ),
    "after the pixels": Around(
        after=[(b"eXIf", exif(8, "<")), text(XMP, packed=False)], exif=b"", xmp=XMP, orientation=8
    ),
    "of no concern": Around(
        [(b"pHYs", struct.pack(">IIB", 2, 1, 0)), (b"tEXt", b"Title\0name"), (b"prVt", b"own")],
        [(b"tIME", bytes([7, 230, 1, 1, 0, 0, 0])), (b"zTXt", b"Comment\0\0" + zlib.compress(b"words"))],
    ),
    **{
        f"orientation {number}": Around([(b"eXIf", exif(number, order))], exif=b"", orientation=number)
        for number, order in zip(range(2, 9), "<><><><", strict=True)
    },
}  # fmt: skip
"""An empty ``exif`` is one that keeps only its maker."""


@attrs.frozen
class File:
    """A PNG file, and the samples that it shows."""

    name: str
    data: bytes
    samples: np.ndarray
    around: Around


def made(
    colour: int, depth: int, size: tuple[int, int], clear: str, interlaced: bool, around: str = ""
) -> File:
    """Return a file of random samples, of which the first has the transparent value and the last all but that."""
    name = f"colour {colour}, {depth} bits, {size}, tRNS {clear!r}, interlaced {interlaced}, {around!r}"
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    said = AROUND.get(around, Around())
    chunks = list(said.before)
    count, entries = PLANES[colour], min(2**depth, 200) if colour == PALETTE else 2**depth
    samples = rng.integers(0, entries, (size[1], size[0], count))
    if colour == PALETTE:
        palette = rng.integers(0, 256, (entries, 4))
        alphas = entries if clear == "one" else entries // 2 + 1
        palette[alphas:, 3] = 255
        if clear == "one":
            palette[:, 3] = 255 * (np.arange(entries) != samples[0, 0])
        chunks.append((b"PLTE", palette[:, :3].astype(np.uint8).tobytes()))
        body = palette[:alphas, 3].astype(np.uint8).tobytes()
        shown = palette[samples[..., 0]]
    else:
        samples[-1, -1] = samples[0, 0] ^ ([0] * (count - 1) + [1])
        key = samples[0, 0]
        alpha = (samples != key).any(-1, keepdims=True) * (2**depth - 1)
        body = struct.pack(f">{count}H", *(key + (65536 - 2**depth) * (clear == "long key")))
        shown = np.concatenate([samples, alpha], axis=-1) * (255 // (2**depth - 1) or 1)
    if clear:
        chunks.append((b"tRNS", body))
    else:
        shown = shown[..., :-1]
    for turn in UPRIGHT[said.orientation]:
        shown = shown.swapaxes(0, 1) if turn == "t" else np.flip(shown, "yx".index(turn))
    data = png(samples, colour, depth, interlaced=interlaced, before=chunks, after=said.after)
    return File(name, data, shown.astype("u2" if depth == 16 else "u1"), said)


def check(found: Picture, file: File, *, hidden: bool = True) -> None:
    """Compare all that a file says of itself, with ``hidden`` also the colours of what is transparent."""
    height, width, count = file.samples.shape
    assert (found.size, found.mode) == ((width, height), ("L", "LA", "RGB", "RGBA")[count - 1]), file.name
    assert found.depth == 8 * file.samples.itemsize, file.name
    seen = np.ones((height, width), bool) if hidden or count in (1, 3) else file.samples[..., -1] > 0
    assert np.array_equal(found.samples.reshape(file.samples.shape)[seen], file.samples[seen]), file.name
    if count in (2, 4):
        assert np.array_equal(found.alpha, file.samples[..., -1]), file.name
    metadata, around = dict(found.metadata), file.around
    if around.described:
        check_profile(metadata.pop("icc"), dict(around.before), grey=count < 3)
    if around.exif == b"":
        tags = Image.Exif()
        tags.load(metadata.pop("exif"))
        assert dict(tags) == {0x010F: "cam"}, file.name
    elif around.exif:
        assert metadata.pop("exif").removeprefix(b"Exif\0\0") == around.exif, file.name
    assert metadata == {k: v for k, v in (("icc", around.icc), ("xmp", around.xmp)) if v}, file.name


def check_profile(icc: bytes, chunks: dict[bytes, bytes], *, grey: bool) -> None:
    """Compare the gamma and primaries of a profile with those of the file."""
    places = {}
    for k in range(struct.unpack_from(">I", icc, 128)[0]):
        name, place, size = struct.unpack_from(">4sII", icc, 132 + 12 * k)
        places[name] = place + 8, size // 4 - 2

    def numbers(name: bytes) -> np.ndarray:
        place, count = places[name]
        return np.frombuffer(icc, ">i4", count, place) / 65536

    assert numbers(b"kTRC" if grey else b"gTRC")[1] == pytest.approx(2, abs=1e-4)
    if not grey and b"cHRM" in chunks:
        adapted = np.array([numbers(name + b"XYZ") for name in (b"r", b"g", b"b")])
        colours = np.linalg.solve(numbers(b"chad").reshape(3, 3), adapted.T).T
        found = colours[:, :2] / colours.sum(1, keepdims=True)
        assert found.ravel() == pytest.approx(np.array(POINTS[2:]) / 1e5, abs=1e-3)


def options(colour: int) -> list[tuple[str, bool]]:
    """Return what a tRNS chunk may say, and whether the file is interlaced."""
    return [(clear, interlaced) for clear in CLEAR.get(colour, ("",)) for interlaced in (False, True)]


@pytest.fixture(scope="module")
def codec() -> licframe.ImageCodec:
    return licframe.load("lossless")


def check_all(file: File, folder: Path, codec: licframe.ImageCodec) -> None:
    """Compare what all ways to read a file find, and what a .lic file of it holds."""
    check(by_all_doors(file.data, folder), file)
    stream = io.BytesIO()
    with Image.open(io.BytesIO(file.data)) as image:
        image.save(stream, "LIC", profile="lossless")
    data = stream.getvalue()
    assert codec.encode(read_picture(file.data)).data == data, file.name
    stored = licframe.read(data)
    check(stored, file, hidden=False)
    with licframe.open(data) as again:
        shown = stored if again.mode == "I;16" else stored.to_8_bit()
        assert np.array_equal(np.asarray(again), shown.samples), file.name


@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_pixels(colour: int, depth: int, tmp_path: Path, codec: licframe.ImageCodec) -> None:
    for clear, interlaced in options(colour):
        for size in SIZES:
            check_all(made(colour, depth, size, clear, interlaced), tmp_path, codec)


@pytest.mark.slow
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_metadata(colour: int, depth: int, tmp_path: Path, codec: licframe.ImageCodec) -> None:
    ways = options(colour)
    for number, around in enumerate(AROUND):
        file = made(colour, depth, SIZES[1 + number // 2 % 2], *ways[number % len(ways)], around)
        check_all(file, tmp_path, codec)


@pytest.mark.parametrize(("colour", "depth"), [(GREY, 2), (RGB, 16)])
def test_the_command_line(colour: int, depth: int, tmp_path: Path) -> None:
    for around in ("all", "after the pixels", "gAMA and cHRM"):
        file = made(colour, depth, (33, 5), "key", True, around)
        (tmp_path / "a.png").write_bytes(file.data)
        for arguments in (("compress", "a.png", "--lossless"), ("decompress", "a.lic", "-o", "b.png")):
            done = command(*arguments, "--overwrite", cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
        check(read_picture(tmp_path / "b.png"), file, hidden=False)
