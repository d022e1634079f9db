"""Picture files with 16 bits a sample, which Pillow reduces to 8 or cannot hold.

PNG and TIFF go through libvips, which the extra ``16bit`` installs and which is imported when such a file turns up;
PPM and PGM are a line of text and numbers.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from licframe.errors import ImageError
from licframe.picture.colour import to_rgb
from licframe.picture.metadata import TIFF_ICC
from licframe.picture.opening import file_bytes, note
from licframe.runtime.extras import installed, require
from licframe.runtime.limits import Limits

if TYPE_CHECKING:
    import pyvips

_PNM = re.compile(rb"P([56])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s")
_BITS, _PHOTOMETRIC, _PLANES, _PLANAR, _EXTRA, _KINDS = 258, 262, 277, 284, 338, 339
"""Tags of a TIFF picture."""
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_HEADER = 33
"""Bytes of the signature and the first chunk."""
_FIELDS = {"icc": "icc-profile-data", "exif": "exif-data", "xmp": "xmp-data"}


def is_deep(image: Image.Image) -> bool:
    """Say whether a picture file, opened and not yet loaded, has 16 bits a sample by its own account, or grey apart."""
    tiles: Any = getattr(image, "tile", ())
    if not tiles or image.format not in ("PNG", "TIFF", "PPM"):
        return False
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        return _bits(tags) == {16} or _grey_apart(tags)
    arguments = tiles[0][3]
    if image.format == "PNG":
        return image.mode.startswith("I;16") or ";16" in str(arguments)
    numbers = [a for a in (arguments if isinstance(arguments, tuple) else ()) if isinstance(a, int)]
    return image.mode.startswith("I") or any(number > 255 for number in numbers)


def data_of(image: Image.Image) -> tuple[bytes, str] | None:
    """Return a 16-bit file, and its kind, that a Pillow image shows; None if it shows none, or another picture by now."""
    if is_deep(image):
        return file_bytes(image), str(image.format)
    if image.format not in ("PNG", "TIFF", "PPM") or getattr(image, "tile", None):
        return None
    data = file_bytes(image)  # Pillow has loaded it, with 8 bits
    if not data:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=(image.format,)) as again:
            deep = is_deep(again)
            return (data, image.format) if deep and again.tobytes() == image.tobytes() else None
    except Exception:  # noqa: BLE001  (under that name there is another file by now)
        return None


def decode(data: bytes, kind: str, where: str, limits: Limits) -> NDArray[Any]:
    """Return the samples of a 16-bit PNG, TIFF, PPM or PGM file: ``(H, W)`` or ``(H, W, 2 .. 4)``.

    A TIFF file may have 8 bits, and be CMYK, which becomes 8-bit RGB with a note.

    Raises:
        ValueError: it is damaged, or not what it seemed. LimitError: it is too large.
        MissingPackageError: it needs pyvips.
    """
    if kind == "PPM":
        return _decode_pnm(data)
    tags = _tags(data) if kind == "TIFF" else {}
    apart = _grey_apart(tags)
    if apart and 1 in _extra(tags):
        raise ImageError(
            f"{where} is a TIFF file of grey multiplied by its alpha, in separate planes, which libvips misreads; save it "
            "as PNG, or interleaved"
        )
    samples, cmyk = _decode_vips(_as_colours(data) if apart else data, where, limits)
    if apart and tags[_PHOTOMETRIC] == 0:
        grey = samples[..., :1]
        samples = np.concatenate([np.iinfo(grey.dtype).max - grey, samples[..., 1:]], 2)
    if cmyk:
        if samples.ndim != 3 or samples.shape[2] < 4:
            raise ValueError("CMYK takes four planes")
        inks = Image.fromarray(np.ascontiguousarray(reduced(samples[..., :4])), "CMYK")
        return np.asarray(to_rgb(inks, tags.get(TIFF_ICC), where))
    return _without_extras(samples, tags, where) if tags else samples


def reduced(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Return samples with 8 bits."""
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def mend_loaded(image: Image.Image, samples: NDArray[Any], where: str) -> NDArray[Any]:
    """Return samples that Pillow has loaded as the file's own tags mean them, where its file is no longer at hand.

    Raises:
        ImageError: Pillow has misread it.
    """
    if image.format != "TIFF":
        return samples
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    if tags.get(_PLANES, 1) > len(image.getbands()):
        _note_extra(where)
    if _bits(tags) not in ({16}, {12}):
        return samples
    if tags.get(_PLANAR) == 2 and tags.get(_PLANES, 1) > 1:
        raise ImageError(
            f"{where} is a planar 16-bit TIFF file, which Pillow misreads; give its path or its bytes"
        )
    if samples.dtype != np.uint16:
        note(
            f"{where} has 16 bits a sample, of which Pillow kept 8; give its path or its bytes to keep them"
        )
        return samples
    if _bits(tags) == {12}:
        samples = _stretched(samples, 4095)
    return 65535 - samples if tags.get(_PHOTOMETRIC) == 0 and samples.ndim == 2 else samples


def open_tiff(data: bytes, where: str, limits: Limits, first_frame: bool) -> NDArray[Any] | None:
    """Return the samples of a TIFF file that Pillow does not open; None if it is none, or cannot be read either."""
    if data[:4] not in _TIFF_STARTS or not installed("pyvips"):
        return None
    tags = _tags(data)
    if not _bits(tags) <= {8, 16}:
        return None
    if tags.next and not first_frame:
        raise ImageError(
            f"{where} holds several pictures; save the one you want as PNG, or take the first with --first-frame"
        )
    return decode(data, "TIFF", where, limits)


def _tags(data: bytes) -> Any:
    """Return the tags of the first picture in a TIFF file; ``next`` says where those of a second one are."""
    found = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data[2:4] in (b"+\0", b"\0+") else 8])
    stream = io.BytesIO(data)
    stream.seek(found.next)
    found.load(stream)
    return found


def _grey_apart(tags: Any) -> bool:
    """Say whether grey and further samples lie in planes of their own, as neither Pillow nor libvips expects."""
    return tags.get(_PLANAR) == 2 and tags.get(_PLANES, 1) > 1 and tags.get(_PHOTOMETRIC) in (0, 1)


def _as_colours(data: bytes) -> bytes:
    """Return a TIFF file of grey and other planes as one of colours, whose planes libvips tells apart."""
    order = "<" if data.startswith(b"I") else ">"
    count, offset = ("Q", 8) if b"+" in data[2:4] else ("I", 4)
    start = struct.unpack_from(order + count, data, offset)[0]
    entry = struct.pack(order + "HH" + count, _PHOTOMETRIC, 3, 1)
    place = data.index(entry, start) + len(entry)
    return data[:place] + struct.pack(order + "H", 2) + data[place + 2 :]


def _bits(tags: Any) -> set[int]:
    """Return how many bits the samples of a TIFF picture have; nothing where they are no plain numbers."""
    bits, kinds = tags.get(_BITS, (1,)), tags.get(_KINDS, (1,))
    plain = set(kinds if isinstance(kinds, tuple) else (kinds,)) <= {1, 4}
    return set(bits if isinstance(bits, tuple) else (bits,)) if plain else set()


def _without_extras(samples: NDArray[Any], tags: Any, where: str) -> NDArray[Any]:
    """Return colours and, where an extra sample is said to be alpha, that."""
    planes = 1 if samples.ndim == 2 else samples.shape[2]
    colours = 1 if tags.get(_PHOTOMETRIC) in (0, 1) else 3
    if planes <= colours:
        return samples
    alpha = next(
        (k for k, meaning in enumerate(_extra(tags)[: planes - colours]) if meaning in (1, 2)), None
    )
    kept = [*range(colours), *([] if alpha is None else [colours + alpha])]
    if len(kept) < planes:
        _note_extra(where)
    return samples[..., kept] if len(kept) > 1 else samples[..., 0]


def _extra(tags: Any) -> tuple[int, ...]:
    """Return the meanings of the samples beyond the colours of a TIFF picture: 1 is alpha, multiplied in, 2 alpha."""
    extra = tags.get(_EXTRA, (2,))
    return extra if isinstance(extra, tuple) else (extra,)


def _note_extra(where: str) -> None:
    note(f"{where} has extra samples that are not alpha by its own account; they are left out")


def encode(
    samples: NDArray[np.uint16], kind: str, metadata: dict[str, bytes], where: str, level: int
) -> bytes:
    """Return a file of 16-bit samples ``(H, W)`` or ``(H, W, 2 .. 4)``; level: of a PNG's deflate, 0 to 9.

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
            f"cannot write {where}: {kind} with {planes} plane(s) of 16 bits is not supported; use .png, or reduce "
            "it to 8 bits: --depth 8, in Python to_8_bit()"
        )
    vips = _vips()
    image = vips.Image.new_from_array(samples, interpretation="grey16" if planes < 3 else "rgb16").copy()
    if kind == "PNG":
        data: bytes = image.write_to_buffer(".png", keep="none", compression=level)
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


def _decode_vips(data: bytes, where: str, limits: Limits) -> tuple[NDArray[Any], bool]:
    """Return samples, and whether they are CMYK."""
    vips = _vips()
    try:
        image: pyvips.Image = vips.Image.new_from_buffer(data, "", access="sequential", fail_on="truncated")
        limits.check(image.width, image.height, where)  # nothing is decoded yet
        if image.format not in ("uchar", "ushort") or not 1 <= image.bands <= 6:
            raise ValueError(
                f"{image.bands} plane(s) of {image.interpretation}, {image.format} are not supported"
            )
        samples = np.frombuffer(image.write_to_memory(), np.uint8 if image.format == "uchar" else np.uint16)
    except vips.Error as error:
        raise ValueError(str(error).strip().splitlines()[-1]) from error
    planes = () if image.bands == 1 else (image.bands,)
    return samples.reshape(image.height, image.width, *planes), image.interpretation == "cmyk"


def _decode_pnm(data: bytes) -> NDArray[np.uint16]:
    match = _PNM.match(data)
    if match is None:
        raise ValueError("only binary PPM and PGM are supported")
    width, height, largest = (int(match[k]) for k in (2, 3, 4))
    planes = 1 if match[1] == b"5" else 3
    count = width * height * planes
    if len(data) - match.end() < 2 * count or not 255 < largest < 65536:
        raise ValueError(f"{count} samples of at most {largest} do not fit its {len(data)} bytes")
    samples = np.frombuffer(data, ">u2", count, match.end())
    shape = (height, width) if planes == 1 else (height, width, 3)
    return _stretched(samples, largest).reshape(shape)


def _stretched(samples: NDArray[Any], largest: int) -> NDArray[np.uint16]:
    samples = samples.astype(np.uint32)
    if largest != 65535:
        samples = (samples.clip(max=largest) * 65535 + largest // 2) // largest
    return samples.astype(np.uint16)
