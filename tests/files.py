"""Picture files made by hand, of kinds that Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

Chunks = Sequence[tuple[bytes, bytes]]


def tiff(
    samples: np.ndarray,
    photometric: int,
    extra: Sequence[int] = (),
    *,
    planar: bool = False,
    rows: int | None = None,
    order: str = "<",
    bits: int | None = None,
    more: dict[int, bytes] | None = None,
) -> bytes:
    """Return a TIFF file of one strip a plane, or of one for so many rows, not compressed.

    Args:
        samples: ``(H, W)`` or ``(H, W, n)``; extra: meanings of those beyond the colours; more: tags of bytes.
    """
    samples = samples[..., None] if samples.ndim == 2 else samples
    height, width, count = samples.shape
    planes = [samples[..., k] for k in range(count)] if planar else [samples]
    rows = rows or height
    pieces = [plane[k : k + rows] for plane in planes for k in range(0, height, rows)]
    strips = [piece.astype(piece.dtype.newbyteorder(order), order="C").tobytes() for piece in pieces]
    offsets = [8 + sum(map(len, strips[:k])) for k in range(len(strips))]
    tags: dict[int, tuple[str, Sequence[int] | bytes]] = {
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", [bits or 8 * samples.itemsize] * count),
        259: ("H", [1]),
        262: ("H", [photometric]),
        273: ("I", offsets),
        277: ("H", [count]),
        278: ("H", [rows]),
        279: ("I", [len(strip) for strip in strips]),
        284: ("H", [1 + planar]),
    }
    if extra:
        tags[338] = ("H", extra)
    tags.update({tag: ("B", value) for tag, value in (more or {}).items()})
    start = 8 + sum(map(len, strips))
    tail_at = start + 2 + 12 * len(tags) + 4
    table, tail = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        body = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{kind}", *values)
        number = {"B": 7, "H": 3, "I": 4}[kind]
        place = body.ljust(4, b"\0")
        if len(body) > 4:
            place = struct.pack(order + "I", tail_at + len(tail))
            tail += body + bytes(len(body) % 2)
        table += struct.pack(order + "HHI", tag, number, len(values)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + b"".join(strips) + struct.pack(order + "H", len(tags)) + table + bytes(4) + tail


_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Passes of an interlaced PNG: first column and row, steps of columns and rows."""


def png(
    samples: np.ndarray,
    colour: int,
    depth: int,
    *,
    interlaced: bool = False,
    before: Chunks = (),
    after: Chunks = (),
) -> bytes:
    """Return a PNG file whose rows take turns with the five filters, in several IDAT chunks.

    Args:
        samples: ``(H, W, n)`` of ``depth`` bits, indices if ``colour`` is 3; before, after: chunks around the pixels.
    """
    height, width, count = samples.shape
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = (samples[y::down, x::along] for x, y, along, down in passes)
    step = max(1, count * depth // 8)
    pixels = zlib.compress(b"".join(_filtered(part, depth, step) for part in parts if part.size))
    pieces = [(b"IDAT", pixels[k : k + 500]) for k in range(0, len(pixels), 500)]
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", head), *before, *pieces, *after, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _filtered(samples: np.ndarray, depth: int, step: int) -> bytes:
    """Return rows as bytes, each less what its filter foretells and after that filter's number."""
    height = len(samples)
    bits = samples[..., None] >> np.arange(depth)[::-1] & 1
    rows = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1).astype(int)
    around = np.pad(rows, ((1, 0), (step, 0)))
    left, up, corner = around[1:, :-step], around[:-1, step:], around[:-1, :-step]
    near = np.abs([up - corner, left - corner, left + up - 2 * corner])
    nearest = np.choose(near.argmin(0), [left, up, corner])
    guesses = np.array([0 * rows, left, up, (left + up) // 2, nearest])
    kinds = np.arange(height) % 5
    rest = rows - guesses[kinds, np.arange(height)]
    return (np.column_stack([kinds, rest]) & 255).astype(np.uint8).tobytes()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunks(png: bytes, **bodies: bytes) -> bytes:
    """Return a PNG file with chunks set in after its header."""
    made = b"".join(_chunk(name.encode(), body) for name, body in bodies.items())
    return png[:33] + made + png[33:]
