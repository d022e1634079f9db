"""What the colours of a picture file mean: ICC profiles made of what it says otherwise, and CMYK to RGB.

A PNG file may say it as cICP, or as gAMA and cHRM; an AVIF file as nclx, which are the same numbers (ITU-T H.273); a
TIFF file as white point and primaries. A .lic file holds an ICC profile, so one is made; where none can say it (PQ,
HLG), there is a note.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from licframe.picture.opening import file_bytes, note

_HEAD = 1 << 16
"""Bytes of a file in which its colours are described."""
_DESCRIBED = ("AVIF", "JPEG2000", "PNG", "SGI")
_SRGB = (0.3127, 0.329, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""White, red, green and blue as x, y."""
_PRIMARIES = {
    1: _SRGB,
    5: (0.3127, 0.329, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.3127, 0.329, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (0.3127, 0.329, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.3127, 0.329, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
_UNSAID = 2
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_CURVES: dict[int, tuple[float, ...]] = {
    **dict.fromkeys((1, 6, 13, 14, 15, _UNSAID), _SRGB_CURVE),  # video is shown as sRGB is
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
}
_BEYOND = {16: "PQ", 18: "HLG"}
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@attrs.frozen
class _Meaning:
    """Where white and primaries lie, and the curve of the samples: a gamma, or the numbers of an sRGB-like curve."""

    points: tuple[float, ...] = _SRGB
    curve: tuple[float, ...] = _SRGB_CURVE

    @property
    def is_srgb(self) -> bool:
        near = np.allclose(self.points, _SRGB, atol=0.002)
        return near and (self.curve == _SRGB_CURVE or abs(self.curve[0] - 2.2) < 0.02)


def head_of(image: Image.Image) -> bytes:
    """Return the part of an opened file in which its colours are described; once loaded it may be gone."""
    return file_bytes(image, _HEAD) if image.format in _DESCRIBED else b""


def said_elsewhere(image: Image.Image, head: bytes, where: str, *, grey: bool) -> bytes | None:
    """Return an ICC profile that says what a picture file without one says in another way; None if that is sRGB.

    Args:
        head: of its file; grey: whether its samples are, as those of 16 bits may be where Pillow's are not.
    """
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        return None
    try:
        meaning = _meaning(image, head, where)
        if meaning is None or meaning.is_srgb:
            return None
        return _profile(meaning, grey)
    except (ArithmeticError, ValueError, TypeError, struct.error, np.linalg.LinAlgError) as error:
        note(f"{where} says what its colours are in a way that makes no sense, which is left out ({error})")
        return None


def _meaning(image: Image.Image, head: bytes, where: str) -> _Meaning | None:
    coded = _code_points(str(image.format), head)
    if coded is not None:
        return _of_code_points(*coded, where)
    info = image.info
    if image.format == "PNG" and "srgb" not in info and ("gamma" in info or "chromaticity" in info):
        gamma = info.get("gamma")
        curve = _SRGB_CURVE if gamma is None else (1 / gamma,)
        return _Meaning(tuple(info.get("chromaticity", _SRGB)), curve)
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        if 318 in tags and 319 in tags:
            return _Meaning(tuple(float(v) for v in (*tags[318], *tags[319])))
    return None


def _code_points(kind: str, head: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer of cICP or nclx."""
    if kind == "PNG":
        return next((tuple(body[:2]) for name, body in _chunks(head) if name == b"cICP"), None)  # type: ignore[return-value]
    if kind == "AVIF":
        _, found, body = head.partition(b"colrnclx")
        return struct.unpack(">HH", body[:4]) if found else None
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IDAT":
            return
        yield kind, data[place + 8 : place + 8 + length]
        place += 12 + length


def _of_code_points(primaries: int, transfer: int, where: str) -> _Meaning | None:
    points = _PRIMARIES.get(1 if primaries == _UNSAID else primaries)
    curve = _CURVES.get(transfer)
    if points is not None and curve is not None:
        return _Meaning(points, curve)
    said = _BEYOND.get(transfer, f"transfer {transfer}") + f", primaries {primaries}"
    note(
        f"{where} has the colours of CICP {said}, which a .lic file does not say: its samples are kept, and will be taken "
        "for sRGB; convert it to sRGB first, or give it an ICC profile"
    )
    return None


def _profile(meaning: _Meaning, grey: bool) -> bytes:
    """Return an ICC profile of version 4."""
    white, *primaries = (_xyz(*meaning.points[k : k + 2]) for k in range(0, 8, 2))
    to_d50 = _BRADFORD / (_BRADFORD @ white)[:, None] * (_BRADFORD @ np.array(_D50))[:, None]
    adapt = np.linalg.inv(_BRADFORD) @ to_d50
    colours = np.array(primaries).T
    colours = adapt @ (colours * np.linalg.solve(colours, white))
    curve = struct.pack(">4sIHH", b"para", 0, 3 if len(meaning.curve) > 1 else 0, 0) + _fixed(
        *meaning.curve
    )
    tags = {
        b"desc": _text("made from the picture's own description of its colours"),
        b"cprt": _text("CC0"),
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(*_D50),
    }
    if grey:
        tags[b"kTRC"] = curve
    else:
        tags[b"chad"] = b"sf32\0\0\0\0" + _fixed(*adapt.ravel())
        for number, name in enumerate((b"r", b"g", b"b")):
            tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + _fixed(*colours[:, number])
            tags[name + b"TRC"] = curve
    return _assembled(tags, b"GRAY" if grey else b"RGB ")


def _assembled(tags: dict[bytes, bytes], space: bytes) -> bytes:
    table, body, places = b"", b"", {}  # type: bytes, bytes, dict[bytes, int]
    start = 132 + 12 * len(tags)
    for name, data in tags.items():
        if data not in places:  # three curves are stored once
            places[data] = start + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, places[data], len(data))
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"", 0x04300000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(*_D50)
    return header.ljust(128, b"\0") + len(tags).to_bytes(4, "big") + table + body


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(data), 28) + data


def to_rgb(image: Image.Image, profile: bytes | None, where: str) -> Image.Image:
    """Return a CMYK picture or its like as RGB, by its ICC profile where that fits; with a note."""
    how = ""
    shown = None
    if profile and image.mode == "CMYK":
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            shown = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            how = " by its ICC profile"
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            how = " without its ICC profile, which does not fit"
    note(f"{where} is {image.mode} and was converted to RGB{how}")
    return shown or image.convert("RGB")


def transparent_colour(image: Image.Image) -> int | tuple[int, ...] | None:
    """Return the colour that a PNG file says is transparent, in 8 bits as Pillow has its samples; None if none is at hand.

    Pillow gives the number in the file, which has fewer bits, or more than count.
    """
    if image.format != "PNG" or image.mode.startswith("I"):
        return None
    chunks = dict(_chunks(file_bytes(image)))
    head, body = chunks.get(b"IHDR", b""), chunks.get(b"tRNS", b"")
    if len(head) < 10 or len(body) != {0: 2, 2: 6}.get(head[9]):
        return None
    depth = head[8]
    values = [value % 2**depth for value in struct.unpack(f">{len(body) // 2}H", body)]
    scaled = [value >> 8 if depth == 16 else value * 255 // (2**depth - 1) for value in values]
    return tuple(scaled) if len(scaled) > 1 else scaled[0]


def bits_in_file(kind: str | None, head: bytes) -> int:
    """Return the bits a sample that a picture file has, as far as it is of a kind that Pillow reduces to 8."""
    if kind == "AVIF":
        _, _, box = head.partition(b"av1C")
        return 8 if len(box) < 3 or not box[2] & 0x40 else 12 if box[2] & 0x20 else 10
    if kind == "JPEG2000":
        _, _, size = head.partition(b"\xff\x4f\xff\x51")
        return (size[38] & 0x7F) + 1 if len(size) > 38 else 8
    return 16 if kind == "SGI" and head[3:4] == b"\2" else 8
