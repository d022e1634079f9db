"""Sets of test images: known ones by name, with their files checked, and any folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs
from PIL import Image

from licframe.errors import FileError, ImageError, suggestion
from licframe.runtime.atomic import files_in

_SUFFIXES = {".png", ".ppm", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".avif"}


@attrs.frozen
class Known:
    """What a known data set holds.

    Attributes:
        count: number of images; sizes: allowed (width, height), empty for any.
        source: where to get it, one sentence.
        hashes: whether pixels are checked too (SHA-256 of the RGB bytes, shipped as data).
    """

    count: int
    sizes: tuple[tuple[int, int], ...]
    source: str
    hashes: bool = False


KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        "kodak": Known(
            24,
            ((768, 512), (512, 768)),
            "the 24 PNG files kodim01.png to kodim24.png are free for any use, at r0k.us/graphics/kodak",
            hashes=True,
        ),
        "clic": Known(
            41,
            (),
            "the 41 PNG files of the CLIC 2020 professional validation set are at clic.compression.cc",
        ),
        "tecnick": Known(
            100,
            ((1200, 1200),),
            "the 100 RGB images of 1200x1200 are the Tecnick TESTIMAGES, SAMPLING set, at testimages.org",
        ),
    }
)


@attrs.frozen
class Dataset:
    """A name and the image files, sorted."""

    name: str
    paths: tuple[Path, ...]


def find(name: str, root: Path) -> Dataset:
    """Return a data set: a known name, looked for as ``root/name``, or any folder of pictures.

    Raises:
        FileError: it is not there; says where to get it. ImageError: its pictures are not the expected ones.
    """
    if name in KNOWN:
        return _known(name, root / name)
    folder = Path(name)
    if not folder.is_dir():
        raise FileError(
            f'no data set "{name}": it is neither a folder nor a known one; {suggestion(name, KNOWN)}'
        )
    found = Dataset(folder.resolve().name.lower(), _pictures(folder))
    if not found.paths:
        raise FileError(f"no pictures in {folder}; expected {', '.join(sorted(_SUFFIXES))} files")
    return found


def _pictures(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in files_in(folder) if path.suffix.lower() in _SUFFIXES)


def _known(name: str, folder: Path) -> Dataset:
    known = KNOWN[name]
    paths = _pictures(folder) if folder.is_dir() else ()
    if len(paths) != known.count:
        raise FileError(
            f"data set {name} should have {known.count} pictures in {folder}, there are {len(paths)}; "
            f"{known.source}; put them there, or name the folder above it with --data"
        )
    hashes: dict[str, str] = {}
    if known.hashes:
        hashes = json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text())
    for path in paths:
        with Image.open(path) as image:
            if known.sizes and image.size not in known.sizes:
                raise ImageError(
                    f"{path} has {image.size[0]}x{image.size[1]} pixels, not as in {name}; {known.source}"
                )
            if hashes and hashes.get(path.name) != pixel_hash(image):
                raise ImageError(f"{path} is not the picture of that name in {name}; {known.source}")
    return Dataset(name, paths)


def sample_picture() -> Path:
    """Return the picture that comes with licframe, a computed landscape of 768x512 (``docs/tools/sample_picture.py``)."""
    return Path(__file__).parent / "data" / "alpine_lake.webp"


def pixel_hash(image: Image.Image) -> str:
    """Return the first 16 hex digits of the SHA-256 of a picture's RGB bytes."""
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()[:16]
