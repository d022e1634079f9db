"""Damaged pictures of every kind that Pillow reads: a picture, or an error of ours, soon and in little memory."""

from __future__ import annotations

import contextlib
import io
import random
import resource
import shutil
import struct
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from licframe.errors import ImageError, LimitError, MissingPackageError
from licframe.picture.images import read_picture
from licframe.runtime.limits import Limits
from tests.files import tiff

LIMITS = Limits(pixels=2 * 10**6)
SIZE = (12, 9)
WRITTEN = {  # modes that Pillow writes, by format
    "AVIF": "RGB RGBA",
    "BLP": "P",
    "BMP": "1 L P RGB",
    "DDS": "L RGB RGBA",
    "DIB": "P RGB",
    "EPS": "L RGB",
    "GIF": "L P",
    "ICO": "RGBA",
    "IM": "L RGB RGBA",
    "JPEG": "L RGB CMYK",
    "JPEG2000": "L RGB RGBA",
    "MPO": "RGB",
    "MSP": "1",
    "PCX": "1 P RGB",
    "PNG": "1 L LA P RGB RGBA I;16",
    "PPM": "1 L RGB",
    "QOI": "RGB RGBA",
    "SGI": "L RGB RGBA",
    "SPIDER": "F",
    "TGA": "L P RGB RGBA",
    "TIFF": "1 L LA P RGB RGBA CMYK LAB I;16",
    "WEBP": "RGB RGBA",
    "XBM": "1",
}


def written(kind: str, mode: str, size: tuple[int, int] = SIZE, **options: object) -> bytes:
    buffer = io.BytesIO()
    shape = (size[1], size[0], 3)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image)[..., 0] * np.uint16(257))
    elif mode != "RGB":
        image = image.convert("L").convert(mode) if mode in ("F", "LA") else image.convert(mode)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.save(buffer, kind, **options)
    return buffer.getvalue()


def by_hand() -> dict[str, bytes]:
    """Return files of the kinds that Pillow reads and does not write."""
    icon = written("ICO", "RGBA", sizes=[SIZE], bitmap_format="bmp")
    small = written("PNG", "RGBA", (16, 16))
    pcx = written("PCX", "RGB")
    grey, colours = bytes(range(108)), bytes(400)
    card = "{:<80}".format
    fits = (
        card("SIMPLE  = T")
        + card("BITPIX  = 8")
        + card("NAXIS   = 2")
        + card("NAXIS1  = 12")
        + card("NAXIS2  = 9")
    )
    flc = struct.pack("<IHHHHHHI", 300, 0xAF12, 1, *SIZE, 8, 0, 0)
    pixar = bytearray(1024)
    pixar[:4], pixar[416:420], pixar[424:428] = (
        b"\x80\xe8\0\0",
        struct.pack("<HH", *SIZE),
        struct.pack("<HH", 14, 2),
    )
    mcidas = struct.pack(">64I", 0, 4, *[0] * 6, 9, 12, 1, 0, 0, 1, 0, *[0] * 18, 256, *[0] * 30)
    psd = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, SIZE[1], SIZE[0], 8, 3) + bytes(12) + b"\0\0" + colours
    xpm = (
        '/* XPM */\nstatic char *a[] = {\n"4 2 2 1",\n"a c #ff0000",\n"b c #00ff00",\n"abab",\n"baba"\n};\n'
    )
    return {
        "ICNS": b"icns" + struct.pack(">I4sI", len(small) + 16, b"icp4", len(small) + 8) + small,
        "CUR": icon[:2] + b"\2" + icon[3:],
        "DCX": struct.pack("<III", 0x3ADE68B1, 12, 0) + pcx,
        "FITS": (fits + card("END")).ljust(2880).encode() + grey,
        "FLI": flc.ljust(128, b"\0")
        + struct.pack("<IHH8x", 172, 0xF1FA, 1)
        + struct.pack("<IH", 114, 16)
        + grey,
        "FTEX": b"FTEX" + struct.pack("<iiiiiiii", 0, *SIZE, 1, 1, 1, 40, 324) + bytes(4) + colours,
        "GBR": struct.pack(">IIIII4sI", 29, 2, *SIZE, 1, b"GIMP", 10) + b"\0" + grey,
        "IMT": b"* made\nwidth 12\nheight 9\npixel n8\n\x0c" + grey,
        "IPTC": b"\x1c\x03\x3c\0\2\1\0\x1c\x03\x14\0\1\x0c\x1c\x03\x1e\0\1\x09\x1c\x03\x78\0\1\1\x1c\x08\x0a\0\x6c"
        + grey,
        "MCIDAS": mcidas + grey,
        "MPEG": b"\0\0\1\xb3\0\xc0\x09" + bytes(20),
        "PCD": bytes(2048) + b"PCD_" + bytes(200000),
        "PIXAR": bytes(pixar) + colours,
        "PSD": psd,
        "SUN": struct.pack(">8I", 0x59A66A95, *SIZE, 24, 324, 1, 0, 0) + colours,
        "WMF": b"\xd7\xcd\xc6\x9a\0\0"
        + struct.pack("<4hH", 0, 0, 12, 9, 72)
        + bytes(6)
        + b"\1\0\x09\0"
        + bytes(30),
        "XPM": xpm.encode(),
        "XVTHUMB": b"P7 332\n#XVVERSION\n#END_OF_COMMENTS\n12 9 255\n" + grey,
        "BUFR": b"BUFR" + bytes(40),
        "GRIB": b"GRIB" + bytes(3) + b"\1" + bytes(40),
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(40),
    }


def seeds() -> dict[str, bytes]:
    found = {
        f"{kind} {mode}": written(kind, mode) for kind, modes in WRITTEN.items() for mode in modes.split()
    }
    found.update({f"{name} hand": data for name, data in by_hand().items()})
    pixels = np.arange(12 * 9 * 4, dtype=np.uint16).reshape(9, 12, 4)
    for name, count, photometric, extra in (
        ("rgb", 3, 2, []),
        ("rgba", 4, 2, [2]),
        ("grey", 2, 1, [2]),
        ("inks", 4, 5, []),
    ):
        found[f"TIFF deep {name}"] = tiff(pixels[..., :count], photometric, extra)
    found["TIFF planar"] = tiff(pixels[..., :3], 2, planar=True)
    found["TIFF planar grey"] = tiff(pixels[..., :2], 1, [2], planar=True)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        found[f"TIFF {compression}"] = written("TIFF", "RGB", compression=compression)
    frames = [Image.new("P", SIZE, k) for k in range(3)]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        found[f"{kind} animated"] = buffer.getvalue()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"):
        found[f"{kind} exif"] = written(kind, "RGB", exif=exif.tobytes())
    found["PPM deep"] = b"P6 12 9 65535\n" + bytes(648)
    found["PPM plain"] = b"P3 2 1 99\n1 2 3 4 5 99\n"
    return found


SEEDS = seeds()
FIRST_BYTES = 96
"""Damage is most telling in a header."""


def mutated(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(min(len(out), FIRST_BYTES) if rng.random() < 0.5 else len(out)) if out else 0
        match rng.randrange(6):
            case 0:
                out[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                out[place : place + 1] = rng.choice((b"\0", b"\1", b"\x7f", b"\x80", b"\xff"))
            case 2:
                out[place : place + 4] = rng.choice(
                    (b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f")
                )
            case 3:
                del out[place:]
            case 4:
                del out[place : place + rng.randrange(1, 9)]
            case 5:
                other = rng.randrange(len(out)) if out else 0
                out[place:place] = out[other : other + rng.randrange(1, 33)]
    return bytes(out)


def attempt(data: bytes) -> bool:
    """Read a picture; say whether it is one. Anything but our errors fails the test."""
    with warnings.catch_warnings(), contextlib.suppress(ImageError, LimitError, MissingPackageError):
        warnings.simplefilter("ignore")
        read_picture(data, LIMITS, first_frame=True)
        return True
    return False


def test_there_is_a_seed_of_every_kind_that_pillow_reads() -> None:
    Image.init()
    with_seed = set()
    for data in SEEDS.values():
        with contextlib.suppress(OSError), Image.open(io.BytesIO(data)) as image:
            with_seed.add(str(image.format))
    others = {"LIC", "JXL"}  # of packages that happen to be imported
    assert set(Image.OPEN) - {kind.upper() for kind in with_seed} - others == set()


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_a_few_mutations(name: str) -> None:
    rng = random.Random(name)
    attempt(SEEDS[name])
    for _ in range(4):
        attempt(mutated(SEEDS[name], rng))


def test_most_seeds_are_pictures() -> None:
    """Otherwise the tests around would only try the first line of each reader."""
    good = {name.split()[0] for name, data in SEEDS.items() if attempt(data)}
    assert len(good) >= 30, good


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_mutations(part: int) -> None:
    rng = random.Random(part)
    names = [name for name in sorted(SEEDS) if not (name.startswith("EPS") and shutil.which("gs"))]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(1000):
        data = mutated(SEEDS[rng.choice(names)], rng)
        begin = time.perf_counter()
        attempt(data)
        assert time.perf_counter() - begin < 20, data  # a hang, on a busy machine
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # in KiB
