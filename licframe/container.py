"""The .lic file: a magic number, then chunks, each with a length and a checksum.

::

    file    magic (8 bytes: 89 4C 49 43 0D 0A 1A, then the version), chunks
    chunk   type (1 byte), length of the body (varint), body, CRC-32 of all of these (4 bytes)

Integers are little-endian, varints LEB128. Chunks: ``H`` header (first), ``I`` ICC profile, ``E``
EXIF, ``X`` XMP, each at most once, then one ``P`` payload per tile; nothing follows the last. Tiles
are counted from the header. This module needs neither torch nor plugins, and imports nothing that a
file names. ``docs/format.md`` describes the bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import attrs

from licframe.errors import CorruptStreamError, LimitError
from licframe.limits import MAX_PIXELS

MAGIC = b"\x89LIC\r\n\x1a"
VERSION = 1
CODER_REVISION = 2
"""2: a payload begins with flags of empty channels. Files of revision 1 are read too."""
MODES = ("L", "RGB")
_NAME_LETTERS = " abcdefghijklmnopqrstuvwxyz0123456789-._/"
_FINGERPRINT_BYTES = 6
_METADATA = {b"I": "icc", b"E": "exif", b"X": "xmp"}
MAX_SIDE = 2**24


@attrs.frozen
class Header:
    """What a file says about itself.

    Attributes:
        width, height: pixels.
        mode: "L" or "RGB"; depth: bits per sample, 8.
        quality: 0..100.
        profile: name of the profile that made the file.
        parts: "name version" of transform, context scheduler and entropy models, in that order.
        fingerprint: first six bytes of the weights' fingerprint.
        tile: log2 of the side of a tile, in latent elements; 0 for a single tile.
        revision: of the coded payload, 1 or 2.
    """

    width: int
    height: int
    mode: str
    quality: int
    profile: str
    parts: tuple[str, ...]
    fingerprint: bytes
    depth: int = 8
    tile: int = 0
    revision: int = CODER_REVISION


@attrs.frozen
class File:
    """A parsed .lic file: header, metadata, and a payload and symbol digest for each tile."""

    header: Header
    payloads: tuple[tuple[bytes, int], ...]
    metadata: dict[str, bytes] = attrs.field(factory=dict)


def write(file: File) -> bytes:
    """Return the bytes of a .lic file."""
    out = bytearray(MAGIC)
    out.append(VERSION)
    _append(out, b"H", _pack_header(file.header))
    for kind, name in _METADATA.items():
        if name in file.metadata:
            _append(out, kind, file.metadata[name])
    for payload, digest in file.payloads:
        _append(out, b"P", digest.to_bytes(4, "little") + payload)
    return bytes(out)


def read(data: bytes, max_pixels: int = MAX_PIXELS) -> File:
    """Parse a .lic file.

    Raises:
        CorruptStreamError: not a .lic file, damaged, cut short, or of a later version.
        LimitError: the header asks for more pixels than ``max_pixels``.
    """
    chunks = _chunks(data)
    header = _first(chunks, max_pixels)
    metadata: dict[str, bytes] = {}
    payloads: list[tuple[bytes, int]] = []
    for kind, body, offset in chunks:
        if kind == b"P":
            if len(body) < 4:
                raise _damaged(f"the payload at byte {offset} holds only {len(body)} bytes")
            payloads.append((body[4:], int.from_bytes(body[:4], "little")))
        elif kind in _METADATA and not payloads and _METADATA[kind] not in metadata:
            metadata[_METADATA[kind]] = body
        else:
            raise _damaged(f"an unexpected chunk {kind!r} stands at byte {offset}")
    if len(payloads) != 1:
        raise _damaged(f"it holds {len(payloads)} payloads instead of 1")
    return File(header, tuple(payloads), metadata)


def read_header(data: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Parse and check the header only; the rest of the file may be missing."""
    return _first(_chunks(data), max_pixels)


def _damaged(what: str) -> CorruptStreamError:
    return CorruptStreamError(f"the .lic file is damaged: {what}; get a new copy of it")


def _append(out: bytearray, kind: bytes, body: bytes) -> None:
    chunk = kind + _varint(len(body)) + body
    out += chunk + zlib.crc32(chunk).to_bytes(4, "little")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield (type, body, offset) of each chunk, checked."""
    if not data:
        raise CorruptStreamError("the file is empty, not a .lic file; get a new copy of it")
    if data[: len(MAGIC)] != MAGIC:
        if MAGIC.startswith(data):
            raise _damaged("it ends inside the first 8 bytes")
        raise CorruptStreamError(
            f"not a .lic file: it begins with {data[:8]!r}; give a file that licframe compress wrote"
        )
    if data[len(MAGIC) : len(MAGIC) + 1] != bytes([VERSION]):
        found = data[len(MAGIC)] if len(data) > len(MAGIC) else "no"
        raise CorruptStreamError(
            f"the .lic file has format version {found}; this licframe reads version {VERSION}; "
            "if the file is sound, update licframe"
        )
    offset = len(MAGIC) + 1
    while offset < len(data):
        length, start = _read_varint(data, offset + 1)
        end = start + length
        if end + 4 > len(data):
            raise _damaged(f"it ends at byte {len(data)}, inside a chunk that ends at {end + 4}")
        if zlib.crc32(data[offset:end]) != int.from_bytes(data[end : end + 4], "little"):
            raise _damaged(f"the checksum of the chunk at byte {offset} does not match")
        yield data[offset : offset + 1], data[start:end], offset
        offset = end + 4


def _first(chunks: Iterator[tuple[bytes, bytes, int]], max_pixels: int) -> Header:
    kind, body, _ = next(chunks, (b"", b"", 0))
    if kind != b"H":
        raise _damaged("it does not begin with a header")
    header = _unpack_header(body)
    if header.width * header.height > max_pixels:
        raise LimitError(
            f"the file holds an image of {header.width}x{header.height} pixels; at most {max_pixels} "
            "pixels are decoded; raise the limit with --max-pixels if you trust the file"
        )
    return header


def _pack_header(header: Header) -> bytes:
    kind = MODES.index(header.mode) | (header.depth // 16) << 3 | header.tile << 4
    names = "/".join([header.profile, *header.parts])
    return (
        bytes([header.revision, kind, header.quality])
        + _varint(header.width)
        + _varint(header.height)
        + header.fingerprint[:_FINGERPRINT_BYTES]
        + pack_names(names)
    )


def _unpack_header(body: bytes) -> Header:
    if len(body) < 3:
        raise _damaged("the header is too short")
    revision, kind, quality = body[:3]
    if not 1 <= revision <= CODER_REVISION:
        raise CorruptStreamError(
            f"the .lic file was written by coder revision {revision}; this licframe reads up to "
            f"{CODER_REVISION}; update licframe"
        )
    if kind >= len(MODES) or quality > 100:
        raise _damaged(f"mode {kind} or quality {quality} is not one this version knows")
    width, offset = _read_varint(body, 3)
    height, offset = _read_varint(body, offset)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise _damaged(f"the image size {width}x{height} is impossible")
    fingerprint = body[offset : offset + _FINGERPRINT_BYTES]
    profile, *parts = unpack_names(body[offset + _FINGERPRINT_BYTES :]).split("/")
    if len(fingerprint) < _FINGERPRINT_BYTES or not profile or len(parts) < 3:
        raise _damaged("the header does not name its profile, parts and weights")
    return Header(
        width, height, MODES[kind], quality, profile, tuple(parts), fingerprint, revision=revision
    )


def pack_names(text: str) -> bytes:
    """Return lower-case text as a number in base 41, 5.4 bits a letter."""
    number = 1
    for letter in text:
        number = number * len(_NAME_LETTERS) + _NAME_LETTERS.index(letter)
    return number.to_bytes((number.bit_length() + 7) // 8, "little")


def unpack_names(data: bytes) -> str:
    """Invert :func:`pack_names`."""
    if len(data) > 255:
        raise _damaged("the names in the header are too long")
    number, letters = int.from_bytes(data, "little"), []
    while number > 1:
        number, letter = divmod(number, len(_NAME_LETTERS))
        letters.append(_NAME_LETTERS[letter])
    return "".join(reversed(letters))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, offset: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 35, 7):
        if offset >= len(data):
            raise _damaged("it ends inside a number")
        byte = data[offset]
        offset += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, offset
    raise _damaged(f"the number that ends at byte {offset} is too long")
