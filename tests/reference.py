"""A second implementation of the decoding side, in plain numpy and Python integers.

Made from docs/format.md. Nothing here uses licframe's container, constriction or torch's arithmetic, so that
agreement means something.
"""

from __future__ import annotations

import io
import zlib

import numpy as np
import torch
from PIL import Image

MASK = 2**64 - 1


class RangeDecoder:
    """64-bit range decoder over 32-bit words with 24-bit probabilities."""

    def __init__(self, data: bytes) -> None:
        self.words = [int(w) for w in np.frombuffer(data, "<u4")]
        self.position = 0
        self.lower, self.range = 0, MASK
        self.point = self._next() << 32 | self._next()

    def _next(self) -> int:
        self.position += 1
        return self.words[self.position - 1] if self.position <= len(self.words) else 0

    def decode(self, left: list[int]) -> int:
        """Decode one symbol; ``left`` holds cumulative probabilities, from 0 to 2^24."""
        scale = self.range >> 24
        quantile = ((self.point - self.lower) & MASK) // scale
        assert quantile < 2**24
        symbol = int(np.searchsorted(left, quantile, side="right")) - 1
        self.lower = (self.lower + scale * left[symbol]) & MASK
        self.range = scale * (left[symbol + 1] - left[symbol])
        if self.range < 2**32:
            self.lower = self.lower << 32 & MASK
            self.range = self.range << 32 & MASK
            self.point = (self.point << 32 & MASK) | self._next()
        return symbol


def cumulative(counts: np.ndarray) -> list[int]:
    """The 24-bit cumulative probabilities of a table of counts: every symbol gets at least one."""
    scale = (2**24 - len(counts)) / float(sum(int(c) for c in counts))
    out, total = [], 0
    for symbol, count in enumerate(counts):
        out.append(int(total * scale) + symbol)
        total += int(count)
    return [*out, 2**24]


def uniform(size: int) -> list[int]:
    return [k * (2**24 // size) for k in range(size)] + [2**24]


def decode_step(decoder: RangeDecoder, halves: np.ndarray, counts: list, index: np.ndarray) -> np.ndarray:
    """Decode one step's residuals: by table, raster order within, escapes after their group."""
    residual = np.zeros(index.size, np.int64)
    flat = index.ravel()
    for table in sorted(set(flat[flat >= 0].tolist())):
        positions = np.flatnonzero(flat == table)
        half = int(halves[table])
        left = cumulative(counts[table])
        values = [decoder.decode(left) - half for _ in positions]
        for position, shown in zip(positions, values, strict=True):
            value = shown
            if shown > half:
                negative = decoder.decode(uniform(2))
                length = decoder.decode(uniform(32)) + 1
                beyond = 2 ** (length - 1) + (
                    decoder.decode(uniform(2 ** (length - 1))) if length > 1 else 0
                )
                value = -(half + beyond) if negative else half + beyond
            residual[position] = value
    return residual.reshape(index.shape)


def exact_conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Integer convolution ``(C, h, w)`` by loops over taps, floor of a division by 2^14."""
    k = weight.shape[-1]
    _, h, w = x.shape
    pad = k // 2
    padded = np.zeros((x.shape[0], h + 2 * pad, w + 2 * pad), np.int64)
    padded[:, pad : pad + h, pad : pad + w] = x
    total = np.repeat(np.repeat(bias.astype(np.int64)[:, None, None], h, 1), w, 2)
    for a in range(k):
        for b in range(k):
            total += np.einsum("oc,chw->ohw", weight[:, :, a, b], padded[:, a : a + h, b : b + w])
    return total >> 14


def varint(data: bytes, offset: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[offset] & 127) << shift
        offset, shift = offset + 1, shift + 7
        if data[offset - 1] < 128:
            return number, offset


def read_container(
    data: bytes,
) -> tuple[dict, dict[bytes, bytes], dict[str, tuple[bytes, bool]], list[tuple[bytes, bytes | None]]]:
    """Return the header's fields, the bodies of chunks, side streams, and payload and details of each tile.

    Side streams are by name: data, and whether it is critical. A file without tiles has one.
    """
    assert data[:8] == bytes([0x89, 0x4C, 0x49, 0x43, 0x0D, 0x0A, 0x1A, 1])
    chunks: dict[bytes, bytes] = {}
    streams: dict[str, tuple[bytes, bool]] = {}
    parts: dict[bytes, list[bytes]] = {b"P": [], b"D": []}
    offset = 8
    while offset < len(data):
        length, start = varint(data, offset + 1)
        end = start + length
        assert int.from_bytes(data[end : end + 4], "little") == zlib.crc32(data[offset:end])
        kind, body = data[offset : offset + 1], data[start:end]
        if kind in (b"S", b"s"):
            name = body[1 : 1 + body[0]].decode()
            assert name not in streams
            streams[name] = (body[1 + body[0] :], kind == b"S")
        elif kind in parts:
            parts[kind].append(body)
        else:
            assert kind not in chunks
            chunks[kind] = body
        offset = end + 4
    header = read_header(chunks.pop(b"H"))
    assert not (chunks.keys() & {b"W"} if header["revision"] >= 4 else streams)
    payloads, details = parts[b"P"], parts[b"D"]
    assert len(payloads) == count_of_tiles(chunks.get(b"T"), header, [*payloads, *details])
    assert not details or (header["revision"] >= 5 and not header["codec"])
    assert len(details) == len(payloads) * header["details"]
    # the digest of details goes with that of the payload
    details = [
        d[:13] + bytes(a ^ b for a, b in zip(d[13:17], p[:4], strict=True)) + d[17:]
        for p, d in zip(payloads, details, strict=False)
    ]
    if b"W" in chunks:  # of revision 3
        streams["wiener 1"] = (chunks.pop(b"W"), True)
    return header, chunks, streams, list(zip(payloads, details or [None] * len(payloads), strict=True))


def count_of_tiles(index: bytes | None, header: dict, bodies: list[bytes]) -> int:
    """How many tiles there are; the index lists the lengths of what they hold."""
    assert (index is not None) == (header["revision"] >= 6)
    header["tile"] = 0
    if index is None:
        return 1
    unit, offset = varint(index, 0)
    for body in bodies:
        length, offset = varint(index, offset)
        assert length == len(body)
    assert offset == len(index)
    header["tile"] = 64 * unit
    count = len(tiles_of(header, 1))
    assert unit >= 4
    assert count > 1
    return count


def tiles_of(header: dict, stride: int) -> list[tuple[int, int, int, int]]:
    """First row and column, rows and columns of each tile in a latent of a stride, in raster order."""
    width, height = header["size"]
    side = header["tile"] or max(width, height)
    return [
        (
            top // stride,
            left // stride,
            -(-min(side, height - top) // stride),
            -(-min(side, width - left) // stride),
        )
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def read_header(body: bytes) -> dict:
    own = body[0] >= 5 and not body[1] & 16
    latent_quality = (body[3] ^ 128) - 128 if own else body[2]
    width, offset = varint(body, 3 + own)
    height, offset = varint(body, offset)
    kind, names_at = body[1], offset + (0 if body[1] & 32 else 6)
    number, letters = int.from_bytes(body[names_at:], "little"), ""
    while number > 1:
        letters = " abcdefghijklmnopqrstuvwxyz0123456789-._/"[number % 41] + letters
        number //= 41
    profile, *names = letters.split("/")
    return {
        "revision": body[0],
        "mode": ("L", "RGB", "LA", "RGBA")[kind & 7],
        "depth": 16 if kind & 8 else 8,
        "quality": body[2],
        "latent_quality": latent_quality,
        "details": bool(kind & 64),
        "size": (width, height),
        "fingerprint": body[offset:names_at],
        "profile": profile,
        "codec": names.pop(0) if kind & 16 else "",
        "parts": tuple(names),
    }


def read_detail(body: bytes) -> dict:
    return {
        "quality": body[0],
        "fingerprint": body[1:7],
        "synthesis": body[7:13],
        "digest": int.from_bytes(body[13:17], "little"),
        "payload": body[17:],
    }


class Coder:
    """Reads symbols as a scheduler's and an entropy model's loop asks for them."""

    def __init__(self, data: bytes) -> None:
        self.decoder = RangeDecoder(data)
        self.digest = 0

    def code(self, bank, index: torch.Tensor, symbols: None = None) -> torch.Tensor:
        found = decode_step(self.decoder, bank.halves, bank.counts, index.numpy())
        return torch.from_numpy(found.astype(np.float64))

    def code_bits(self, probability: np.ndarray, bits: None = None) -> np.ndarray:
        def left(p: int) -> list[int]:
            # two symbols, false first
            return [0, *cumulative_floats([1 - p / 2**16, p / 2**16])[1:]]

        return np.array([self.decoder.decode(left(int(p))) == 1 for p in probability], bool)

    def code_flags(self, size: int) -> np.ndarray:
        count = self.decoder.decode(uniform(size + 1))
        if count in (0, size):
            return np.full(size, count > 0)
        return self.code_bits(np.full(size, count * 2**16 // size))

    def note(self, residual: torch.Tensor) -> None:
        self.digest = zlib.crc32(residual.numpy().astype("<i4").tobytes(), self.digest)


def read_lossless(payload: bytes, header: dict) -> np.ndarray:
    """Samples of a payload of codec "lossless 1", alpha last where it holds it; Pillow reads the file inside."""
    image = Image.open(io.BytesIO(payload[4:]))
    assert image.format in ("PNG", "WEBP")
    samples = np.asarray(image)
    together = image.mode == "RGBA"
    if "RGB" not in header["mode"] and samples.ndim == 3:
        samples = samples[..., ::3] if together else samples[..., 0]
    if header["depth"] == 16 and samples.dtype == np.uint8:
        high, low = np.split(samples.astype(np.uint16), 2)
        samples = 256 * high + low
    kind = "<u2" if header["depth"] == 16 else "u1"
    ordered = samples.astype(kind)
    data = ordered[..., :-1].tobytes() + ordered[..., -1].tobytes() if together else ordered.tobytes()
    assert zlib.crc32(data) == int.from_bytes(payload[:4], "little")
    return samples


def read_filter(data: bytes) -> np.ndarray:
    """The coefficients ``[p][f][q][t]`` of a filter."""
    coder = Coder(data)
    steps = np.zeros(252)
    places = np.flatnonzero(coder.code_flags(252)).tolist()

    def bit() -> int:
        return int(coder.code_bits(np.array([2**15]))[0])

    signs = [-1 if bit() else 1 for _ in places]
    values, k, going = [1] * len(places), [4] * len(places), list(range(len(places)))
    while going:
        going = [n for n in going if bit()]
        for n in going:
            values[n] += 2 ** k[n]
            k[n] += 1
    for n, place in enumerate(places):
        steps[place] = signs[n] * (values[n] + sum(bit() << m for m in range(k[n])))
    return (steps / 256).reshape(3, 4, 3, 7)


def filtered(picture: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """A picture ``(3, H, W)`` in [0, 1] with a filter's correction, position by position."""
    weights = np.array([[1, 1, 1], [1, 0, -1], [-0.5, 1, -0.5]]) / np.sqrt([[3], [2], [1.5]])
    planes = np.einsum("qi,ihw->qhw", weights, picture - 0.5)
    _, height, width = planes.shape
    out = picture.copy()
    pairs = ((0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0))
    for row in range(height):
        for column in range(width):

            def at(y: int, x: int, row: int = row, column: int = column) -> np.ndarray:
                return planes[:, min(max(row + y, 0), height - 1), min(max(column + x, 0), width - 1)]

            v = at(0, 0)
            terms = np.stack([v, *((at(y, x) + at(-y, -x)) / 2 - v for y, x in pairs)], 1)
            up, down, left, right = (at(y, x)[0] for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1)))
            stands_out = 5 * (v[0] - (up + down + left + right) / 4)
            factors = np.array(
                [1, min(1, abs(right - left) + abs(down - up)), np.clip(stands_out, -1, 1), v[0]]
            )
            out[:, row, column] += weights.T @ np.einsum("pfqt,f,qt->p", coefficients, factors, terms)
    return out


def cumulative_floats(probabilities: list[float]) -> list[int]:
    """As ``cumulative``, of probabilities in double precision that sum to 1."""
    scale = (2**24 - len(probabilities)) / sum(probabilities)
    out, total = [], 0.0
    for symbol, p in enumerate(probabilities):
        out.append(int(total * scale) + symbol)
        total += p
    return [*out, 2**24]
