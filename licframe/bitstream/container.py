"""The .lic file: a magic number, then chunks, each with a length and a checksum.

::

    file    magic (8 bytes: 89 4C 49 43 0D 0A 1A, then the version), chunks
    chunk   type (1 byte), length of the body (varint), body, CRC-32 of all of these (4 bytes)

Integers are little-endian, varints LEB128. Chunks: ``H`` header (first), ``I`` ICC profile, ``E``
EXIF, ``X`` XMP, each at most once, ``A`` alpha where the mode has it, side streams, each ``S`` where a reader must
understand it and ``s`` where it may go on without, ``T`` the index of a latent in tiles, one ``P`` payload per tile, ``D``
details of each, ``Z`` zeros where an image is large for its file; nothing follows. This module needs neither torch nor plugins, and imports nothing that a file names.
``docs/format.md`` describes the bytes.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import attrs

from licframe.errors import CorruptStreamError, WeightsMismatchError
from licframe.runtime.limits import DEFAULT, Limits

MAGIC = b"\x89LIC\r\n\x1a"
VERSION = 1
CODER_REVISION = 6
"""2: a payload begins with flags of empty channels. 3: there may be a filter. 4: there may be side streams, other codecs
and files without weights. 5: the latent has a quality of its own, and there may be details. 6: the latent is in tiles.
Files of earlier revisions are read too."""
UNTILED_REVISION = 5
"""What a file without tiles is written as."""
TILE_UNIT, SMALLEST_TILE = 64, 256
"""Pixels along a side of a tile: a multiple of the one, at least the other."""
_LARGEST_TILE = 2**24
"""Pixels of a tile that is decoded in the memory that tiles take by estimate."""
MODES = ("L", "RGB", "LA", "RGBA")
_NAME_LETTERS = " abcdefghijklmnopqrstuvwxyz0123456789-._/"
_FINGERPRINT_BYTES = 6
_METADATA = {b"I": "icc", b"E": "exif", b"X": "xmp"}
_CUT = b"cut "
"""Stands before the type of a chunk that the end of the file cuts short."""
_RANKS = {b"I": 0, b"E": 0, b"X": 0, b"A": 1, b"W": 2, b"S": 2, b"s": 2, b"T": 3, b"P": 4, b"D": 5, b"Z": 6}
"""Order of the chunks after the header; each at most once, but side streams, whose names differ, and what tiles hold."""
_SMALLEST_CHUNK = 6
_OF_TILES = (b"P", b"D")
_STREAM_NAME = re.compile(rb"[a-z0-9][a-z0-9 -]{0,62}")
_OLD_FILTER = "wiener 1"
"""Name of the side stream that revision 3 gave a chunk ``W`` of its own."""
_SEARCH_WORK = 2**30
"""Most bytes that a search for sound chunks adds up; each try counts as 1024 at least."""
_MOST_STREAMS = 16
_MOST_NOTES = 8
"""Most sentences on damaged bytes; a file may have any number of gaps."""

_IMAGE = "the image in the file"
_MAX_SIDE = 2**24
LOWEST_LATENT_QUALITY = -28
_FREE_PIXELS = 2**20
_PIXELS_PER_BYTE = 4096
"""A file may not claim more pixels than this for each of its bytes, beyond the free ones: what a decoder
spends is in proportion to what it was given."""


@attrs.frozen
class Header:
    """What a file says about itself.

    Attributes:
        width, height: pixels.
        mode: "L", "RGB", "LA" or "RGBA"; depth: bits per sample, 8 or 16.
        quality: 0..100, what was asked for.
        profile: name of the profile that made the file.
        parts: "name version" of transform, context scheduler and entropy models, in that order; of another codec than
            the latent one whatever it says about itself.
        fingerprint: first six bytes of the weights' fingerprint; empty for a codec without weights.
        codec: "name version" of the codec; empty for the latent codec.
        revision: of what is coded, 1 to 6; ``write`` says 6 of a file with tiles.
        latent_quality: -28..100, at which the latent is coded; of other codecs, and before revision 5, the same as ``quality``.
        details: they follow, and without them the file is damaged; ``write`` sets it.
    """

    width: int
    height: int
    mode: str
    quality: int
    profile: str
    parts: tuple[str, ...]
    fingerprint: bytes
    depth: int = 8
    codec: str = ""
    revision: int = UNTILED_REVISION
    latent_quality: int = attrs.field()

    @latent_quality.default
    def _(self) -> int:
        return self.quality

    details: bool = False


@attrs.frozen
class Detail:
    """What a detail layer adds to the picture of the payload.

    Attributes:
        quality: 0..100, of the layer's own scale.
        fingerprint: first six bytes of that of the layer's weights; synthesis: of the weights whose picture it adds to.
        digest: of its symbols.
    """

    quality: int
    fingerprint: bytes
    synthesis: bytes
    payload: bytes
    digest: int


@attrs.frozen
class Stream:
    """Bytes that belong to this picture and to one part, such as a filter's coefficients.

    Attributes:
        critical: a reader that does not know the stream must not go on.
    """

    data: bytes
    critical: bool = True


@attrs.frozen
class File:
    """A parsed .lic file.

    Attributes:
        header: what it says about itself.
        payloads: a payload and the digest of its symbols for each tile.
        metadata: "icc", "exif", "xmp" as bytes, where present.
        alpha: the coded alpha plane (see ``licframe.picture.alpha``); None without one.
        streams: side streams by name: 1 to 63 lower-case letters, digits, hyphens and spaces, as "name version" of the part
            that reads it.
        details: what is added to the picture of each payload; empty for nothing, None where a damaged file lost it.
        damage: what was left out of a damaged file, a sentence each.
        tile: pixels along a side of a tile; 0 where there is one payload for the whole picture.
        lost: numbers of the tiles whose payload a damaged file lost; an empty one stands in for it.
        cut, cut_detail: number of the tile whose payload, or details, the end of the file cuts short; None where none are.
    """

    header: Header
    payloads: tuple[tuple[bytes, int], ...]
    metadata: dict[str, bytes] = attrs.field(factory=dict)
    alpha: bytes | None = None
    streams: dict[str, Stream] = attrs.field(factory=dict)
    details: tuple[Detail | None, ...] = ()
    damage: tuple[str, ...] = ()
    tile: int = 0
    lost: tuple[int, ...] = ()
    cut: int | None = None
    cut_detail: int | None = None

    @property
    def detail(self) -> Detail | None:
        """The first of its details, which says what holds for all; None where it has none."""
        return next((detail for detail in self.details if detail is not None), None)

    def check_streams(self, *known: str) -> None:
        """Refuse a file that holds a critical side stream of another name; every codec must.

        Raises:
            WeightsMismatchError: naming it.
        """
        for name, stream in self.streams.items():
            if stream.critical and name not in known:
                raise WeightsMismatchError(
                    f'the file holds a side stream "{name}" that codec {self.header.codec or "latent"} does not '
                    "read; update the package that provides the codec"
                )


def write(file: File) -> bytes:
    """Return the bytes of a .lic file.

    Raises:
        ValueError: a field that a reader would refuse, or read as another.
    """
    revision = CODER_REVISION if file.tile else file.header.revision
    header = attrs.evolve(file.header, details=bool(file.details), revision=revision)
    file = attrs.evolve(file, header=header)
    _check_writable(file)
    out = bytearray(MAGIC)
    out.append(VERSION)
    out += chunk(b"H", pack_header(file.header))
    for kind, name in _METADATA.items():
        if name in file.metadata:
            out += chunk(kind, file.metadata[name])
    if file.alpha is not None:
        out += chunk(b"A", file.alpha)
    for name, stream in file.streams.items():
        out += chunk(b"S" if stream.critical else b"s", bytes([len(name)]) + name.encode() + stream.data)
    payloads = [digest.to_bytes(4, "little") + payload for payload, digest in file.payloads]
    below = [digest for _, digest in file.payloads]
    details = [_pack_detail(d, under) for d, under in zip(file.details, below, strict=False) if d]
    if file.tile:
        lengths = [len(body) for body in (*payloads, *details)]
        out += chunk(b"T", b"".join(map(varint, [file.tile // TILE_UNIT, *lengths])))
    for kind, bodies in zip(_OF_TILES, (payloads, details), strict=True):
        for body in bodies:
            out += chunk(kind, body)
    missing = least_bytes(file.header) - len(out)
    if missing > 0:
        out += chunk(b"Z", bytes(missing))
    return bytes(out)


def _check_writable(file: File) -> None:
    header = attrs.evolve(file.header, fingerprint=file.header.fingerprint[:_FINGERPRINT_BYTES])
    try:
        same = unpack_header(pack_header(header)) == header
    except (CorruptStreamError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{header} cannot be written: {error}") from error
    if not same:
        raise ValueError(
            f"{header} would be read as another: names hold no slash, and no other letters than files do"
        )
    try:
        count = tiles_of(header, file.tile) if file.tile else 1
    except CorruptStreamError as error:
        raise ValueError(f"tiles of {file.tile} pixels cannot be written: {error}") from error
    if len(file.payloads) != count or len(file.streams) > _MOST_STREAMS:
        raise ValueError(f"a file holds one payload a tile and at most {_MOST_STREAMS} side streams")
    if len(file.details) not in (0, count) or (header.revision == CODER_REVISION) != bool(file.tile):
        raise ValueError("details are of every tile, and tiles of the last revision")
    for detail in file.details:
        if detail is None or _unpack_detail(_pack_detail(detail, 0), 0) != detail:
            raise ValueError("details have a quality of 0 to 100 and fingerprints of six bytes")
    for name in file.streams:
        if not _STREAM_NAME.fullmatch(name.encode()):
            raise ValueError(f"{name!r} is no name of a side stream: 1 to 63 of a-z, 0-9, hyphen and space")


def read(data: bytes, limits: Limits = DEFAULT, *, best_effort: bool = False, prefix: bool = False) -> File:
    """Parse a .lic file.

    Args:
        best_effort: leave damaged metadata, alpha, side streams and details out, and say so in ``damage``; the
            header and the payload must be sound, but the end of the file may cut that short.
        prefix: the file may end early, if not before its payload; what is there must be sound.

    Raises:
        CorruptStreamError: not a .lic file, damaged, cut short, or of a later version.
        LimitError: the header asks for more than the limits allow.
    """
    data = bytes(data)  # of whatever holds them
    damage: list[str] = []
    stream = _sound_chunks(data, damage) if best_effort else chunks(data, prefix=prefix)
    header = _first(stream, limits)
    found: dict[bytes, bytes] = {}
    streams: dict[str, Stream] = {}
    of_tiles: dict[int, tuple[bytes, bytes]] = {}
    rank = start = 0
    ends_at: int | None = None
    for labelled, body, offset in stream:
        kind = labelled.removeprefix(_CUT)
        if kind != labelled:
            if header.codec:  # other codecs make nothing of a part
                break
            ends_at = offset
        again = kind in found and not (kind in _OF_TILES and b"T" in found)
        if _RANKS.get(kind, -1) < rank or again:
            raise _damaged(f"an unexpected chunk {kind!r} stands at byte {offset}")
        rank = _RANKS[kind]
        if rank == _RANKS[b"S"]:
            _add_stream(streams, kind, body, header.revision)
        else:
            found[kind] = body
        if kind in _OF_TILES:
            of_tiles[offset] = kind, body
        if kind == b"T":
            start = offset + chunk_size(len(body))
    if len(data) < least_bytes(header) and not best_effort:
        raise _damaged(
            f"{len(data)} bytes are too few for an image of {header.width}x{header.height} pixels"
        )
    _check_alpha(header, found, damage if best_effort else None)
    if (b"T" in found) != (header.revision >= 6):
        raise _damaged(
            f"revision {header.revision} comes {'with' if b'T' in found else 'without'} an index of tiles"
        )
    tile, bodies, details = 0, [found.get(b"P")], [found.get(b"D")]
    cut = None if ends_at is None else 0
    if b"T" in found:
        sound = 0 if best_effort else len(data) if prefix else math.inf
        tile, bodies, details, cut = _in_tiles(found[b"T"], header, start, of_tiles, sound, ends_at)
        if min(tile, header.width) * min(tile, header.height) > _LARGEST_TILE:
            limits.check(header.width, header.height, _IMAGE, tiled=False)
    if all(body is None for body in bodies):
        raise _damaged("it holds no payload" + "".join(f"; {what}" for what in damage))
    tolerant = best_effort or prefix
    payloads, lost = _payloads(bodies, best_effort=tolerant and tile > 0)
    return File(
        header,
        payloads,
        {name: found[kind] for kind, name in _METADATA.items() if kind in found},
        found.get(b"A"),
        streams,
        _details(details, header, payloads, damage if tolerant else None),
        tuple(damage),
        tile,
        lost,
        cut if rank == _RANKS[b"P"] else None,
        cut if rank == _RANKS[b"D"] else None,
    )


def _check_alpha(header: Header, found: Mapping[bytes, bytes], damage: list[str] | None) -> None:
    if ("A" in header.mode) == (b"A" in found):
        return
    if damage is None:
        raise _damaged(
            f"an image of mode {header.mode} comes {'with' if b'A' in found else 'without'} alpha"
        )
    if "A" not in header.mode:  # of one that is missing tells whoever reads it
        damage.append("it holds an alpha plane that its mode does not have; it is left out")


def tiles_of(header: Header, tile: int) -> int:
    """Return how many tiles of so many pixels along a side a picture has.

    Raises:
        CorruptStreamError: they are of no size that there is, or one holds the picture.
    """
    if tile % TILE_UNIT or tile < SMALLEST_TILE:
        raise _damaged(f"tiles have {tile} pixels along a side, which is no size that there is")
    count = -(-header.width // tile) * -(-header.height // tile)
    if count < 2 or header.codec:
        raise _damaged(
            f"tiles of {tile} pixels have no place in a picture of {header.width}x{header.height} pixels"
        )
    return count


def _in_tiles(
    index: bytes,
    header: Header,
    start: int,
    found: Mapping[int, tuple[bytes, bytes]],
    sound: float,
    ends_at: int | None,
) -> tuple[int, list[bytes | None], list[bytes | None], int | None]:
    """Return the side of tiles, the bodies of their payloads and details, and the number of the one that is cut short.

    Args:
        index: the body of ``T``; start: where the first payload stands.
        found: chunks of payloads and details, by where they stand; those elsewhere than the index says are not theirs.
        sound: so far none of them may be missing, and where it is 0 others may stand in their place.
        ends_at: where one stands that is cut short.
    """
    unit, offset = read_varint(index, 0)
    tile = unit * TILE_UNIT
    count = tiles_of(header, tile)
    kinds = _OF_TILES if header.details else (b"P",)
    if len(index) - offset < count * len(kinds):
        raise _damaged(f"its index is too short for {count} tiles")
    bodies: dict[bytes, list[bytes | None]] = {kind: [] for kind in _OF_TILES}
    cut = None
    for kind in kinds:
        for number in range(count):
            length, offset = read_varint(index, offset)
            there, body = found.get(start, (b"", b""))
            here = there == kind and (len(body) == length or start == ends_at)
            if here and start == ends_at:
                cut = number
            start += chunk_size(length)
            if not here and (start <= sound or (there and sound)):
                raise _damaged(f"tile {number} does not stand where the index says")
            bodies[kind].append(body if here else None)
    if offset != len(index) or (len(found) != count * len(kinds) and start <= sound):
        raise _damaged(f"its index is not of the {count} tiles that it holds")
    return tile, bodies[b"P"], bodies[b"D"], cut


def _payloads(
    bodies: Sequence[bytes | None], *, best_effort: bool
) -> tuple[tuple[tuple[bytes, int], ...], tuple[int, ...]]:
    """Return payloads with their digests, and the numbers of those that are lost."""
    payloads: list[tuple[bytes, int]] = []
    lost = []
    for number, body in enumerate(bodies):
        if body is None or len(body) < 4:
            if not best_effort:
                raise _damaged(f"the payload holds only {len(body or b'')} bytes")
            lost.append(number)
        digest, payload = (body or b"")[:4], (body or b"")[4:]
        payloads.append((payload, int.from_bytes(digest, "little")))
    return tuple(payloads), tuple(lost)


def _details(
    bodies: Sequence[bytes | None],
    header: Header,
    payloads: Sequence[tuple[bytes, int]],
    damage: list[str] | None,
) -> tuple[Detail | None, ...]:
    """Return the details of a file, if it has any; those of all tiles are of one layer.

    Args:
        damage: takes a sentence on details that cannot be had, which are then left out.
    """
    if not header.details and all(body is None for body in bodies):
        return ()
    details: list[Detail | None] = []
    whole: Detail | None = None
    for body, (_, below) in zip(bodies, payloads, strict=True):
        try:
            if body is None:
                raise _damaged("its details are missing")
            if not header.details:
                raise _damaged("it holds details of which its header does not speak")
            detail = _unpack_detail(body, below)
            whole = whole or detail
            if attrs.evolve(detail, payload=whole.payload, digest=whole.digest) != whole:
                raise _damaged("its details are of several layers")
        except CorruptStreamError as error:
            if damage is None:
                raise
            if len(payloads) == 1:
                damage.append(f"its details are left out: {error}")
            details.append(None)
        else:
            details.append(detail)
    return tuple(details) if whole or len(payloads) > 1 else ()


def _pack_detail(detail: Detail, below: int) -> bytes:
    """Return the body of a chunk; the digest of the payload, ``below``, binds it to that."""
    return (
        bytes([detail.quality])
        + detail.fingerprint
        + detail.synthesis
        + (detail.digest ^ below).to_bytes(4, "little")
        + detail.payload
    )


def _unpack_detail(body: bytes, below: int) -> Detail:
    size = _FINGERPRINT_BYTES
    start = 1 + 2 * size
    if len(body) < start + 4 or body[0] > 100:
        raise _damaged("its details are too short, or of no quality that there is")
    digest = int.from_bytes(body[start : start + 4], "little") ^ below
    return Detail(body[0], body[1 : 1 + size], body[1 + size : start], body[start + 4 :], digest)


def _add_stream(streams: dict[str, Stream], kind: bytes, body: bytes, revision: int) -> None:
    if (kind == b"W") != (revision < 4):
        raise _damaged(f"revision {revision} has no chunk {kind!r}")
    name, data = (_OLD_FILTER, body) if kind == b"W" else _named(body)
    if name in streams:
        raise _damaged(f"two side streams are named {name}")
    if len(streams) == _MOST_STREAMS:
        raise _damaged(f"it holds more than {_MOST_STREAMS} side streams")
    streams[name] = Stream(data, kind != b"s")


def _named(body: bytes) -> tuple[str, bytes]:
    """Return name and data of a side stream."""
    end = 1 + body[0] if body else 0
    name = body[1:end]
    if len(body) < end or not _STREAM_NAME.fullmatch(name):
        raise _damaged(f"{name!r} is no name of a side stream")
    return name.decode(), body[end:]


def read_header(data: bytes, limits: Limits = DEFAULT) -> Header:
    """Parse and check the header only; the rest of the file may be missing."""
    return _first(chunks(bytes(data)), limits)


def _damaged(what: str) -> CorruptStreamError:
    return CorruptStreamError(f"the .lic file is damaged: {what}; get a new copy of it")


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    start = kind + varint(len(body)) + body
    return start + zlib.crc32(start).to_bytes(4, "little")


def chunk_size(length: int) -> int:
    """Return how many bytes a chunk takes whose body has so many."""
    return 1 + len(varint(length)) + length + 4


def least_bytes(header: Header) -> int:
    """Return how many bytes a file of such a picture has at least."""
    return max(0, header.width * header.height - _FREE_PIXELS) // _PIXELS_PER_BYTE


def start_of_chunks(data: bytes) -> int:
    """Check magic number and version; return where the first chunk begins."""
    if not data:
        raise CorruptStreamError("the file is empty, not a .lic file; get a new copy of it")
    if data[: len(MAGIC)] != MAGIC:
        if MAGIC.startswith(data):
            raise _damaged("it ends inside the first 8 bytes")
        raise CorruptStreamError(
            f"not a .lic file: it begins with {data[:8]!r}; give a file that licframe compress wrote, or decode it "
            "with the codec that made it"
        )
    if data[len(MAGIC) : len(MAGIC) + 1] != bytes([VERSION]):
        found = data[len(MAGIC)] if len(data) > len(MAGIC) else "no"
        raise CorruptStreamError(
            f"the .lic file has format version {found}; this licframe reads version {VERSION}; "
            "if the file is sound, update licframe"
        )
    return len(MAGIC) + 1


def extent(data: bytes, offset: int) -> tuple[int, int]:
    """Return where the body of the chunk at ``offset`` begins and ends."""
    length, start = read_varint(data, offset + 1)
    end = start + length
    if end + 4 > len(data):
        preview = ", which --preview 0 shows as far as it goes" * (data[offset : offset + 1] in _OF_TILES)
        raise _damaged(f"it ends at byte {len(data)}, inside a chunk that ends at {end + 4}{preview}")
    return start, end


def _is_sound(data: bytes, offset: int, end: int) -> bool:
    return zlib.crc32(data[offset:end]) == int.from_bytes(data[end : end + 4], "little")


def is_cut(data: bytes | bytearray, offset: int) -> bool:
    """Say whether the data end inside the chunk at ``offset``."""
    if len(data) - offset < _SMALLEST_CHUNK:
        return True
    length, start = read_varint(data, offset + 1)
    return start + length + 4 > len(data)


def _cut_chunk(data: bytes, offset: int) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield what the end of the data leaves of a payload, or details, at ``offset``, if there are any."""
    kind = data[offset : offset + 1]
    if kind in _OF_TILES and len(data) - offset >= _SMALLEST_CHUNK:
        length, start = read_varint(data, offset + 1)
        yield _CUT + kind, data[start : start + length], offset


def chunks(data: bytes, *, prefix: bool = False) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield (type, body, offset) of each chunk, checked.

    Args:
        prefix: the data may end inside one; what is there of a payload or of details is yielded, under a longer type.
    """
    offset = start_of_chunks(data)
    while offset < len(data):
        if prefix and is_cut(data, offset):
            yield from _cut_chunk(data, offset)
            return
        start, end = extent(data, offset)
        if not _is_sound(data, offset, end):
            raise _damaged(f"the checksum of the chunk at byte {offset} does not match")
        yield data[offset : offset + 1], data[start:end], offset
        offset = end + 4


def _sound_chunks(data: bytes, damage: list[str]) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield the chunks that are sound, wherever they stand; note in ``damage`` what lies between."""
    offset = sound_end = start_of_chunks(data)
    work = 0
    while offset < len(data) and work < _SEARCH_WORK:
        kind = data[offset : offset + 1]
        try:
            start, end = extent(data, offset) if kind in _RANKS or kind == b"H" else (0, 0)
        except CorruptStreamError:
            end = 0
        work += max(1024 * (kind in _RANKS), end - offset)
        if not end or not _is_sound(data, offset, end):
            offset += 1
            continue
        if offset > sound_end and len(damage) < _MOST_NOTES:
            damage.append(f"bytes {sound_end} to {offset} are damaged")
        yield kind, data[start:end], offset
        offset = sound_end = end + 4
    last: list[tuple[bytes, bytes, int]] = []
    with suppress(CorruptStreamError):
        if is_cut(data, sound_end):
            last += _cut_chunk(data, sound_end)
    if sound_end < len(data) and not last:
        damage.append(f"bytes {sound_end} to {len(data)} are damaged")
    yield from last


def _first(stream: Iterator[tuple[bytes, bytes, int]], limits: Limits) -> Header:
    kind, body, _ = next(stream, (b"", b"", 0))
    if kind != b"H":
        raise _damaged("it does not begin with a header")
    header = unpack_header(body)
    limits.check(header.width, header.height, _IMAGE, tiled=header.revision >= 6)
    return header


def pack_header(header: Header) -> bytes:
    """Return the body of the header chunk."""
    kind = MODES.index(header.mode) | (header.depth // 16) << 3
    kind |= bool(header.codec) << 4 | (not header.fingerprint) << 5
    names = "/".join([header.profile, *([header.codec] if header.codec else []), *header.parts])
    kind |= header.details << 6
    own_quality = header.revision >= 5 and not header.codec
    return (
        bytes([header.revision, kind, header.quality])
        + (header.latent_quality.to_bytes(1, "little", signed=True) if own_quality else b"")
        + varint(header.width)
        + varint(header.height)
        + header.fingerprint[:_FINGERPRINT_BYTES]
        + pack_names(names)
    )


def unpack_header(body: bytes) -> Header:
    """Invert :func:`pack_header`, checking that the values are possible."""
    if len(body) < 3:
        raise _damaged("the header is too short")
    revision, kind, quality = body[:3]
    if not 1 <= revision <= CODER_REVISION:
        raise CorruptStreamError(
            f"the .lic file was written by coder revision {revision}; this licframe reads up to "
            f"{CODER_REVISION}; update licframe"
        )
    mode, depth = kind & 7, 16 if kind & 8 else 8
    other_codec, weightless = bool(kind & 16), bool(kind & 32)
    own_quality = revision >= 5 and not other_codec
    known = 7 if own_quality else 6 if revision >= 4 else 4
    if kind >> known or mode >= len(MODES) or quality > 100 or (revision >= 6 and other_codec):
        raise _damaged(f"kind {kind} or quality {quality} is not one this version knows")
    if weightless and not other_codec:
        raise _damaged("the header names no weights, which the latent codec needs")
    offset, latent_quality = 3, quality
    if own_quality:
        offset, latent_quality = 4, int.from_bytes(body[3:4], "little", signed=True)
        if not LOWEST_LATENT_QUALITY <= latent_quality <= 100:
            raise _damaged(f"latent quality {latent_quality} is not one this version knows")
    width, offset = read_varint(body, offset)
    height, offset = read_varint(body, offset)
    if not (1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE):
        raise _damaged(f"the image size {width}x{height} is impossible")
    size = 0 if weightless else _FINGERPRINT_BYTES
    fingerprint = body[offset : offset + size]
    profile, *parts = unpack_names(body[offset + size :]).split("/")
    least = 1 if other_codec else 3
    if len(fingerprint) < size or not profile or len(parts) < least or not all(parts):
        raise _damaged("the header does not name its profile, parts and weights")
    return Header(
        width=width,
        height=height,
        mode=MODES[mode],
        quality=quality,
        profile=profile,
        parts=tuple(parts[other_codec:]),
        fingerprint=fingerprint,
        depth=depth,
        codec=parts[0] if other_codec else "",
        revision=revision,
        latent_quality=latent_quality,
        details=bool(kind & 64),
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


def varint(number: int) -> bytes:
    """Return a number in seven bits a byte, lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes | bytearray, offset: int) -> tuple[int, int]:
    """Return the number that a varint at ``offset`` stands for, and where it ends."""
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
