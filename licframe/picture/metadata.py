"""ICC, EXIF and XMP of a picture file; and pixels turned upright by their orientation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from licframe.picture.opening import note

FIELDS = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
"""Our names of metadata, and Pillow's."""
TIFF_XMP = 700
TIFF_ICC = 34675
_PHOTOMETRIC, _INKS = 262, 5
_PNG_XMP = "XML:com.adobe.xmp"
_PNG_EXIF = "Raw profile type exif"
_ORIENTATION = 0x0112
_DESCRIPTIVE = (0x010E, 0x010F, 0x0110, _ORIENTATION, 0x0131, 0x0132, 0x013B, 0x8298)
"""TIFF tags that describe a photograph rather than the file: description, camera, software, date, author."""
_UPRIGHT: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


def metadata_of(image: Image.Image, where: str) -> dict[str, bytes]:
    """Return "icc", "exif" and "xmp" of a Pillow image, where present; what cannot be read is left out with a note."""
    info = image.info
    found: dict[str, Any] = {name: info.get(field) for name, field in FIELDS.items()}
    if _PNG_XMP in info:
        found["xmp"] = found["xmp"] or info[_PNG_XMP]
    if found["exif"] is None and (image.format == "TIFF" or _PNG_EXIF in info):
        found["exif"] = _readable(lambda: _descriptive(image.getexif()), "EXIF", where)
    return {name: data for name, value in found.items() if (data := bytes_of_field(value))}


def tiff_metadata(data: bytes, where: str) -> dict[str, bytes]:
    """Return the metadata of a TIFF file that Pillow does not open."""
    tags = Image.Exif()

    def load() -> bytes | None:
        tags.load(data)
        return _descriptive(tags)

    exif = _readable(load, "EXIF", where)
    icc = None if tags.get(_PHOTOMETRIC) == _INKS else tags.get(TIFF_ICC)  # the samples are RGB by now
    found = {"icc": icc, "exif": exif, "xmp": tags.get(TIFF_XMP)}
    return {name: value for name, v in found.items() if (value := bytes_of_field(v))}


def bytes_of_field(value: Any) -> bytes:
    """Return metadata as Pillow's users give it (bytes, text, ``Image.Exif``, None) as bytes; none are empty."""
    if isinstance(value, Image.Exif):
        return value.tobytes() if len(value) else b""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


def _descriptive(found: Image.Exif) -> bytes | None:
    kept = Image.Exif()
    kept.update({tag: found[tag] for tag in _DESCRIPTIVE if tag in found})
    for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if entries := found.get_ifd(part):
            kept.get_ifd(part).update(entries)
    if kept.get(_ORIENTATION) == 1:  # every TIFF may say that
        del kept[_ORIENTATION]
    return kept.tobytes() if len(kept) else None


def _readable(read: Callable[[], bytes | None], kind: str, where: str) -> bytes | None:
    try:
        return read()
    except Exception as error:  # noqa: BLE001  (metadata are what somebody's camera wrote)
        _leave_out(kind, where, error)
        return None


def _leave_out(kind: str, where: str, error: Exception) -> None:
    note(f"{where} has unreadable {kind}, which is left out ({error})")


def upright(
    samples: NDArray[Any], metadata: Mapping[str, bytes], where: str, *, turn: bool = True
) -> tuple[NDArray[Any], dict[str, bytes]]:
    """Return samples turned by their EXIF orientation, and metadata that say so.

    Args:
        turn: else the samples stay as they are; the orientation goes all the same, with a note.
    """
    # Pillow mends EXIF and XMP of what it turns; a picture of one pixel is turned for nothing.
    probe = Image.new("L", (1, 1))
    probe.info.update({FIELDS[name]: value for name, value in metadata.items()})
    try:
        turned = _UPRIGHT.get(probe.getexif().get(_ORIENTATION, 1))
        if turned is not None:
            ImageOps.exif_transpose(probe, in_place=True)
    except Exception as error:  # noqa: BLE001  (metadata are what somebody's camera wrote)
        _leave_out("EXIF", where, error)
        return samples, {name: value for name, value in metadata.items() if name != "exif"}
    if turned is not None and turn:
        samples = turned(samples)
    elif turned is not None:
        note(
            f"{where} carries the EXIF orientation of a file whose pixels it no longer is: they are taken as they stand; "
            "PIL.ImageOps.exif_transpose turns them"
        )
    found = {name: bytes_of_field(probe.info.get(FIELDS[name])) for name in metadata}
    return samples, {name: value for name, value in found.items() if value}
