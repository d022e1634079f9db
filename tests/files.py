"""Picture files made by hand, of kinds that Pillow does not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np


def tiff(
    samples: np.ndarray,
    photometric: int,
    extra: Sequence[int] = (),
    *,
    planar: bool = False,
    order: str = "<",
    bits: int | None = None,
    more: dict[int, bytes] | None = None,
) -> bytes:
    """Return a TIFF file of one strip a plane, not compressed.

    Args:
        samples: ``(H, W)`` or ``(H, W, n)``; extra: meanings of those beyond the colours; more: tags of bytes.
    """
    samples = samples[..., None] if samples.ndim == 2 else samples
    height, width, count = samples.shape
    planes = [samples[..., k] for k in range(count)] if planar else [samples]
    strips = [plane.astype(plane.dtype.newbyteorder(order), order="C").tobytes() for plane in planes]
    offsets = [8 + sum(map(len, strips[:k])) for k in range(len(strips))]
    tags: dict[int, tuple[str, Sequence[int] | bytes]] = {
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", [bits or 8 * samples.itemsize] * count),
        259: ("H", [1]),
        262: ("H", [photometric]),
        273: ("I", offsets),
        277: ("H", [count]),
        278: ("H", [height]),
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


def with_chunks(png: bytes, **bodies: bytes) -> bytes:
    """Return a PNG file with chunks set in after its header."""
    made = b""
    for name, body in bodies.items():
        chunk = name.encode() + body
        made += struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:33] + made + png[33:]
