"""Hostile .lic files: sound ones, changed in ways that know the format.

A mutation is a list of operations, each a name and two numbers; the same list always gives the same bytes.
Changed chunks get a right checksum again, so that what lies behind it is reached.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from types import MappingProxyType

import attrs

from licframe.bitstream import container
from licframe.errors import CorruptStreamError

Chunk = tuple[bytes, bytes]
Operation = tuple[str, int, int]
_DETAIL_START = 17
"""Where the words of details begin."""
_NAMES = (
    "../../etc/passwd",
    "/dev/zero",
    "os.system 1/subprocess 1/shutil 1",
    "tiny/none 1/none 1/none 1",
    "tiny/other 99/other 1/other 1",
    "tiny/a 1/b 1/c 1/d 1/e 1/f 1",
    "a" * 300,
    "",
    "////",
)


def mutate(data: bytes, operations: Sequence[Operation]) -> bytes:
    """Return a sound .lic file changed by operations, in order; those on chunks come first."""
    chunks = _split(data)
    for name, a, b in operations:
        if name in CHUNK_OPERATIONS and chunks:
            CHUNK_OPERATIONS[name](chunks, a, b)
    out = bytearray(data[: len(container.MAGIC) + 1])
    for kind, body in chunks:
        out += container.chunk(kind, body)
    for name, a, b in operations:
        if name in BYTE_OPERATIONS and out:
            BYTE_OPERATIONS[name](out, a, b)
    return bytes(out)


def _split(data: bytes) -> list[Chunk]:
    return [(kind, body) for kind, body, _ in container.chunks(data)]


def _with_body(chunks: list[Chunk], a: int, change: Callable[[bytearray], None]) -> None:
    kind, body = chunks[a % len(chunks)]
    new = bytearray(body)
    change(new)
    chunks[a % len(chunks)] = kind, bytes(new)


def _flip_in_chunk(chunks: list[Chunk], a: int, b: int) -> None:
    def change(body: bytearray) -> None:
        if body:
            body[b // 8 % len(body)] ^= 1 << b % 8

    _with_body(chunks, a, change)


def _cut_chunk(chunks: list[Chunk], a: int, b: int) -> None:
    _with_body(chunks, a, lambda body: body.__delitem__(slice(b % (len(body) + 1), None)))


def _grow_chunk(chunks: list[Chunk], a: int, b: int) -> None:
    _with_body(chunks, a, lambda body: body.extend(bytes([b % 256]) * (b % 5000)))


def _splice_chunk(chunks: list[Chunk], a: int, b: int) -> None:
    other = chunks[b % len(chunks)][1]
    _with_body(
        chunks,
        a,
        lambda body: body.__setitem__(slice(b % (len(body) + 1), None), other[a % (len(other) + 1) :]),
    )


def _swap_chunks(chunks: list[Chunk], a: int, b: int) -> None:
    i, j = a % len(chunks), b % len(chunks)
    chunks[i], chunks[j] = chunks[j], chunks[i]


def _repeat_chunk(chunks: list[Chunk], a: int, b: int) -> None:
    chunks.insert(b % (len(chunks) + 1), chunks[a % len(chunks)])


def _drop_chunk(chunks: list[Chunk], a: int, _: int) -> None:
    del chunks[a % len(chunks)]


def _rename_chunk(chunks: list[Chunk], a: int, b: int) -> None:
    chunks[a % len(chunks)] = bytes([b % 256]), chunks[a % len(chunks)][1]


def _change_header(chunks: list[Chunk], change: Callable[[container.Header], container.Header]) -> None:
    for number, (kind, body) in enumerate(chunks):
        if kind == b"H":
            try:
                chunks[number] = kind, container.pack_header(change(container.unpack_header(body)))
            except CorruptStreamError:  # an earlier operation broke it: leave it at that
                return


def _resize(chunks: list[Chunk], a: int, b: int) -> None:
    sides = (1, 2, 15, 17, 100, 1000, 4096, 16384, 2**20, 2**24)
    _change_header(chunks, lambda h: attrs.evolve(h, width=sides[a % 10], height=sides[b % 10]))


def _requalify(chunks: list[Chunk], a: int, b: int) -> None:
    _change_header(
        chunks,
        lambda h: attrs.evolve(h, quality=a % 256, mode=container.MODES[b % 4], depth=8 + 8 * (a % 2)),
    )


def _relevel(chunks: list[Chunk], a: int, b: int) -> None:
    """Code the latent at another quality, and say that there are details, or none."""
    span = 101 - container.LOWEST_LATENT_QUALITY
    _change_header(
        chunks,
        lambda h: attrs.evolve(
            h, latent_quality=container.LOWEST_LATENT_QUALITY + a % span, details=bool(b % 2)
        ),
    )


def _redetail(chunks: list[Chunk], a: int, b: int) -> None:
    """Give details another quality, and words of theirs from somewhere else."""
    for number, (kind, body) in enumerate(chunks):
        if kind == b"D" and len(body) > _DETAIL_START:
            words = body[_DETAIL_START:]
            place = 4 * (b % (len(words) // 4 + 1))
            changed = bytes([a % 101]) + body[1:_DETAIL_START] + words[place:] + words[:place]
            chunks[number] = kind, changed


def _retile(chunks: list[Chunk], a: int, b: int) -> None:
    """Give tiles another side, or exchange what two of them hold; lengths in the index as they stand, or one changed."""
    places = [number for number, (kind, _) in enumerate(chunks) if kind == b"P"]
    for number, (kind, body) in enumerate(chunks):
        if kind == b"T" and body:
            if b % 3 == 0:
                chunks[number] = kind, bytes([a % 128]) + body[1:]
            elif b % 3 == 1:
                place = a % len(body)
                chunks[number] = kind, body[:place] + bytes([b // 3 % 256]) + body[place + 1 :]
            elif places:
                one, other = places[a % len(places)], places[b // 3 % len(places)]
                chunks[one], chunks[other] = chunks[other], chunks[one]
                chunks[number] = kind, _index(body, chunks)


def _index(body: bytes, chunks: list[Chunk]) -> bytes:
    """Return an index with the lengths of what stands in a file."""
    lengths = [len(held) for kind, held in chunks if kind in (b"P", b"D")]
    unit = next(place for place, byte in enumerate(body, 1) if byte < 128 or place == len(body))
    return body[:unit] + b"".join(map(container.varint, lengths))


def _rename(chunks: list[Chunk], a: int, b: int) -> None:
    for number, (kind, body) in enumerate(chunks):
        if kind == b"H":
            names = _NAMES[a % len(_NAMES)]
            chunks[number] = kind, body[: max(9, len(body) - b % 60)] + container.pack_names(names)


def _flip(out: bytearray, a: int, b: int) -> None:
    out[a % len(out)] ^= 1 << b % 8


def _cut(out: bytearray, a: int, _: int) -> None:
    del out[a % (len(out) + 1) :]


def _insert(out: bytearray, a: int, b: int) -> None:
    out[a % len(out) : a % len(out)] = zlib.crc32(b.to_bytes(8, "little")).to_bytes(4, "little") * (b % 9)


def _lie(out: bytearray, a: int, b: int) -> None:
    """Put a large number where a length may be."""
    place = a % len(out)
    out[place : place + 5] = bytes([255, 255, 255, 255, b % 128])[: 1 + b % 5]


CHUNK_OPERATIONS = MappingProxyType(
    {
        "flip in chunk": _flip_in_chunk,
        "cut chunk": _cut_chunk,
        "grow chunk": _grow_chunk,
        "splice chunk": _splice_chunk,
        "swap chunks": _swap_chunks,
        "repeat chunk": _repeat_chunk,
        "drop chunk": _drop_chunk,
        "rename chunk": _rename_chunk,
        "resize": _resize,
        "requalify": _requalify,
        "relevel": _relevel,
        "redetail": _redetail,
        "retile": _retile,
        "rename": _rename,
    }
)
BYTE_OPERATIONS = MappingProxyType({"flip": _flip, "cut": _cut, "insert": _insert, "lie": _lie})
OPERATIONS = (*CHUNK_OPERATIONS, *BYTE_OPERATIONS)
