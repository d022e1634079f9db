"""Training photographs, decoded once and kept in memory as uint8."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from licframe.errors import ImageError

_SUFFIXES = {".avif", ".png", ".jpg", ".jpeg", ".webp", ".ppm", ".tif", ".tiff", ".bmp"}

_EVERY = 8  # rows and columns that tell how busy a patch is: looking at all took a tenth of a step


def _decode(source: tuple[str, bytes]) -> NDArray[np.uint8]:
    name, data = source
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise ImageError(f"cannot read training image {name}: {error}; remove it") from error


def _sources(paths: Sequence[Path]) -> list[tuple[str, bytes]]:
    """Return name and bytes of every picture in folders, tar shards and files."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES | {".tar"})
            found += _sources(inside)
        elif path.suffix == ".tar":
            with tarfile.open(path) as shard:
                for member in shard:
                    file = shard.extractfile(member)
                    if file is not None and Path(member.name).suffix.lower() in _SUFFIXES:
                        found.append((f"{path.name}/{member.name}", file.read()))
        elif path.is_file():
            found.append((path.name, path.read_bytes()))
        else:
            raise ImageError(f"no training data at {path}; give folders, .tar shards or pictures")
    return found


class Source(Protocol):
    """Where the inputs of training steps come from."""

    def batch(self, count: int, size: int, rng: random.Random) -> tuple[Tensor, ...]:
        """Return what an objective is given for ``count`` patches of side ``size`` pixels.

        The last tensor holds their qualities ``(count,)``, uniform in 0..100.
        """


class Photographs:
    """Random patches from photographs held in memory.

    Args:
        paths: folders, tar shards of pictures, or pictures.
        limit: read at most this many pictures.
        device: where the pixels live; patches are made there.
        candidates: each patch is the busiest of so many draws.

    Attributes:
        listing: SHA-256 and name of each picture, a line each, as ``sha256sum`` writes them.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        limit: int | None = None,
        device: torch.device | str = "cpu",
        candidates: int = 1,
    ) -> None:
        self.candidates = candidates
        sources = _sources(paths)[:limit]
        self.listing = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sources)
        with ProcessPoolExecutor() as pool:
            decoded = list(pool.map(_decode, sources, chunksize=8))
        self.images = [torch.from_numpy(x).permute(2, 0, 1).contiguous().to(device) for x in decoded]
        if not self.images:
            raise ImageError(f"no pictures in {', '.join(map(str, paths))}")
        sizes = np.array([x[0].numel() for x in self.images], dtype=np.float64)
        self.megapixels = float(sizes.sum() / 1e6)
        self._cumulative = (sizes.cumsum() / sizes.sum()).tolist()

    def batch(self, count: int, size: int, rng: random.Random) -> tuple[Tensor, ...]:
        """Return patches and qualities."""
        return self.patches(count, size, rng), torch.rand(count) * 100

    def patches(self, count: int, size: int, rng: random.Random) -> Tensor:
        """Return ``(count, 3, size, size)`` float in [0, 1], each the busiest of its candidates."""
        if self.candidates == 1:
            return torch.stack([self._draw(size, rng) for _ in range(count)])
        drawn = torch.stack([self._draw(size, rng) for _ in range(count * self.candidates)])
        drawn = drawn.unflatten(0, (count, self.candidates))
        return drawn[torch.arange(count, device=drawn.device), _activity(drawn).argmax(1)]

    def _draw(self, size: int, rng: random.Random) -> Tensor:
        """Return a crop, downscaled, flipped, transposed.

        A picture is drawn in proportion to its area; a downscale of 0.6 to 1.0 hides what is left
        of an earlier lossy coding.
        """
        image = rng.choices(self.images, cum_weights=self._cumulative)[0]
        room = min(image.shape[1:])
        side = min(room, round(size / rng.uniform(0.6, 1.0)))
        top = rng.randint(0, image.shape[1] - side)
        left = rng.randint(0, image.shape[2] - side)
        patch = image[:, top : top + side, left : left + side].float() / 255
        if side != size:
            patch = F.interpolate(patch[None], (size, size), mode="bilinear", antialias=side > size)[0]
        if rng.random() < 0.5:
            patch = patch.flip(2)
        if rng.random() < 0.5:
            patch = patch.flip(1)
        if rng.random() < 0.5:
            patch = patch.transpose(1, 2)
        return patch


def _activity(patches: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring samples of ``(..., 3, H, W)``, in a few rows and columns."""
    rows, columns = patches[..., ::_EVERY, :], patches[..., ::_EVERY]
    across = (rows[..., 1:] - rows[..., :-1]).abs().mean((-3, -2, -1))
    down = (columns[..., 1:, :] - columns[..., :-1, :]).abs().mean((-3, -2, -1))
    return across + down
