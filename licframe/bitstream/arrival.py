"""A .lic file while it arrives: where its payload lies, known from its first bytes."""

from __future__ import annotations

from licframe.bitstream.container import (
    MAGIC,
    TILE_UNIT,
    Header,
    chunk_size,
    is_cut,
    read_header,
    read_varint,
    start_of_chunks,
    tiles_of,
)
from licframe.errors import CorruptStreamError
from licframe.runtime.limits import DEFAULT, Limits

_HEAD = 4096
"""Bytes that a header lies in."""
_LONGEST_LENGTH = 5
_MOST_CHUNKS = 32
"""More than a file has up to its details; what claims more would be walked through again with every piece."""
_START = len(MAGIC) + 1


def header_of(data: bytearray, limits: Limits = DEFAULT) -> Header | None:
    """Return the header of a file of which ``data`` have arrived; None as long as it is not there whole.

    Raises:
        CorruptStreamError: it is no .lic file, or its header is damaged; LimitError.
    """
    head = bytes(data[:_HEAD])
    if len(head) < _START or is_cut(head, start_of_chunks(head)):
        if len(head) == _HEAD:
            raise CorruptStreamError("the .lic file is damaged: it does not begin with a header")
        return None
    return read_header(head, limits)


def coded_parts(data: bytearray, header: Header) -> list[tuple[int, int]]:
    """Return where the payload begins and ends, or those of all tiles, and then the details, as far as that is known.

    Raises:
        CorruptStreamError: what has arrived is damaged.
    """
    parts: list[tuple[int, int]] = []
    offset = _START
    for _ in range(_MOST_CHUNKS):
        if len(parts) > header.details or len(data) - offset <= _LONGEST_LENGTH:
            return parts
        kind = data[offset]
        length, start = read_varint(data, offset + 1)
        end = start + length + 4
        if kind in b"PD":
            parts.append((offset, end))
        if kind == ord("T") and not is_cut(data, offset):
            return _tiled(data, start, end, header)
        offset = end
    raise CorruptStreamError(
        "the .lic file is damaged: it has more chunks than any before its payload; get a new copy of it"
    )


def _tiled(data: bytearray, start: int, offset: int, header: Header) -> list[tuple[int, int]]:
    """Return the same of tiles, which begin at ``offset``, by an index whose body begins at ``start``."""
    unit, start = read_varint(data, start)
    parts = []
    for _ in range(1 + header.details):
        begin = offset
        for _ in range(tiles_of(header, unit * TILE_UNIT)):
            length, start = read_varint(data, start)
            offset += chunk_size(length)
        parts.append((begin, offset))
    return parts
