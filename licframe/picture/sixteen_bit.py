"""Picture files with 16 bits a sample, which Pillow reduces to 8 or cannot hold.

PNG and TIFF go through libvips, which the extra ``16bit`` installs and which is imported when such a file turns up;
PPM and PGM are a line of text and numbers.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.errors import ImageError
from licframe.runtime.extras import require

if TYPE_CHECKING:
    import pyvips

_PNM = re.compile(rb"P([56])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s")
_PNG_HEADER = 33
"""Bytes of the signature and the first chunk."""
_FIELDS = {"icc": "icc-profile-data", "exif": "exif-data", "xmp": "xmp-data"}


def is_deep(image: Image.Image) -> bool:
    """Say whether an opened, not yet loaded picture file has 16 bits a sample."""
    if image.format not in ("PNG", "TIFF", "PPM"):
        return False
    arguments = [str(tile[3]) for tile in getattr(image, "tile", ())]
    return image.mode.startswith("I;16") or any(
        ";16" in text or (re.search(r"\b(?!255\b)\d{3,5}\b", text) is not None and image.format == "PPM")
        for text in arguments
    )


def decode(data: bytes, kind: str | None) -> NDArray[np.uint16]:
    """Return the samples of a 16-bit PNG, TIFF, PPM or PGM file: ``(H, W)`` or ``(H, W, 2 .. 4)``.

    Raises:
        ValueError: it is damaged, or not what it seemed.
        MissingPackageError: it needs pyvips.
    """
    return _decode_pnm(data) if kind == "PPM" else _decode_vips(data)


def encode(samples: NDArray[np.uint16], kind: str, metadata: dict[str, bytes], where: str) -> bytes:
    """Return a file of 16-bit samples ``(H, W)`` or ``(H, W, 2 .. 4)``.

    Raises:
        ImageError: that kind of file holds no such samples.
        MissingPackageError: it needs pyvips.
    """
    planes = 1 if samples.ndim == 2 else samples.shape[2]
    if kind == "PPM" and planes in (1, 3):
        height, width = samples.shape[:2]
        magic = b"P5" if planes == 1 else b"P6"
        return magic + f"\n{width} {height}\n65535\n".encode() + samples.astype(">u2").tobytes()
    if kind != "PNG" and not (kind == "TIFF" and planes != 2):
        raise ImageError(
            f"cannot write {where}: {kind} with {planes} plane(s) of 16 bits is not supported; use .png, or reduce the "
            "picture to 8 bits"
        )
    vips = _vips()
    image = vips.Image.new_from_array(samples, interpretation="grey16" if planes < 3 else "rgb16").copy()
    if kind == "PNG":
        data: bytes = image.write_to_buffer(".png", keep="none")
        return data[:_PNG_HEADER] + _png_chunks(metadata) + data[_PNG_HEADER:]
    for name, value in metadata.items():
        image.set_type(vips.GValue.blob_type, _FIELDS[name], value)
    data = image.write_to_buffer(".tiff", keep="all" if metadata else "none")
    return data  # noqa: RET504  (typed)


def _png_chunks(metadata: dict[str, bytes]) -> bytes:
    """Return metadata byte for byte as PNG chunks; libvips would write its own EXIF."""
    bodies = {
        "icc": lambda v: b"iCCPicc\0\0" + zlib.compress(v, 9),
        "exif": lambda v: b"eXIf" + v.removeprefix(b"Exif\0\0"),
        "xmp": lambda v: b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + v,
    }
    chunks = [bodies[name](value) for name, value in metadata.items()]
    return b"".join(
        (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        for chunk in chunks
    )


def _vips() -> Any:
    return require("pyvips", "a PNG or TIFF file with 16 bits a sample")


def _decode_vips(data: bytes) -> NDArray[np.uint16]:
    vips = _vips()
    try:
        image: pyvips.Image = vips.Image.new_from_buffer(data, "", access="sequential", fail_on="truncated")
        if image.format != "ushort" or not 1 <= image.bands <= 4:
            raise ValueError(f"{image.bands} plane(s) of {image.format} are not supported")
        samples = np.frombuffer(image.write_to_memory(), np.uint16)
    except vips.Error as error:
        raise ValueError(str(error).strip().splitlines()[-1]) from error
    planes = () if image.bands == 1 else (image.bands,)
    return samples.reshape(image.height, image.width, *planes)


def _decode_pnm(data: bytes) -> NDArray[np.uint16]:
    match = _PNM.match(data)
    if match is None:
        raise ValueError("only binary PPM and PGM are supported")
    width, height, largest = (int(match[k]) for k in (2, 3, 4))
    planes = 1 if match[1] == b"5" else 3
    count = width * height * planes
    if len(data) - match.end() < 2 * count or not 255 < largest < 65536:
        raise ValueError(f"{count} samples of at most {largest} do not fit its {len(data)} bytes")
    samples = np.frombuffer(data, ">u2", count, match.end()).astype(np.uint32)
    if largest != 65535:
        samples = (samples.clip(max=largest) * 65535 + largest // 2) // largest
    shape = (height, width) if planes == 1 else (height, width, 3)
    return samples.astype(np.uint16).reshape(shape)
