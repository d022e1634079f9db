"""Training patches from pictures that live on the device, drawn by index arithmetic.

All pictures lie one after the other in one tensor of pixels, at a few scales. Drawing a batch is arithmetic on
some random numbers and one gather: a patch is where it begins and two strides, and flips and transposes are other
signs and another order of the strides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from licframe.errors import ImageError
from licframe.model.gains import random_qualities
from licframe.training.pictures import PictureFile, decode_all, find_pictures
from licframe.training.processes import Processes

SCALES = (14 / 15, 0.8, 2 / 3)
"""Of a picture: below 1, which hides what is left of an earlier lossy coding; the middles of the thirds of 0.6 to 1."""

_CELL = 16
"""Side in pixels of the cells whose detail is known: a patch's is the sum over whole cells, found with four reads."""


_MOST_ENLARGED = 8
_EVERY = 4
"""Of a cell's rows and columns, those that are looked at."""


class Source(Protocol):
    """Where the inputs of training steps come from.

    Random numbers are those of the device's default generator, which a run seeds. Of several processes, which have equal
    seeds, each takes its part of what all draw; a source with a true attribute ``split`` gives each patches of its own.
    """

    def batch(self, count: int, size: int) -> tuple[Tensor, ...]:
        """Return what an objective is given for ``count`` patches of side ``size`` pixels, on the device.

        For ``RateDistortion``: pictures ``(count, 3, size, size)``, float32 in [0, 1]. The last tensor holds their
        qualities ``(count,)``, uniform in -28..100.
        """


def drawn(source: Source, count: int, size: int, processes: Processes) -> tuple[Tensor, ...]:
    """Return this process's part of a batch of ``count`` patches of all processes."""
    if getattr(source, "split", False):
        return source.batch(processes.share_of(count), size)
    batch = source.batch(count, size)
    return batch if processes.count == 1 else processes.part(batch)


class Photographs:
    """Random patches of pictures kept on a device.

    A picture is drawn in proportion to its area, at one of its scales, then flipped and transposed at random.

    Args:
        pictures: folders, tar shards or pictures; or files already read.
        limit: read at most this many.
        device: where the pixels live and patches are made: about six bytes a pixel of the pictures.
        candidates: each patch is the most detailed of so many draws.
        patch: largest side of a patch; a picture too small for it is enlarged.
        scales: of a picture, each kept once.

    Attributes:
        listing: SHA-256 and name of each picture, a line each, as ``sha256sum`` writes them.
        count: pictures; megapixels: all of them before scaling.
        enlarged: how many of them are smaller than a patch.
    """

    def __init__(
        self,
        pictures: Sequence[Path] | Sequence[PictureFile],
        limit: int | None = None,
        device: torch.device | str = "cpu",
        candidates: int = 1,
        patch: int = 256,
        scales: Sequence[float] = SCALES,
    ) -> None:
        self.device, self.candidates, self.patch = torch.device(device), candidates, patch
        files = [f for f in pictures if isinstance(f, PictureFile)]
        files = (files or find_pictures([Path(p) for p in pictures if not isinstance(p, PictureFile)]))[
            :limit
        ]
        self.count = len(files)
        self.listing = "".join(f"{hashlib.sha256(f.data).hexdigest()}  {f.name}\n" for f in files)
        sizes = [file.size() for file in files]
        small = next(
            (f.name for f, size in zip(files, sizes, strict=True) if _MOST_ENLARGED * min(size) < patch),
            None,
        )
        if small is not None:
            raise ImageError(
                f"{small} is too small for patches of {patch} pixels: remove it, or take smaller patches"
            )
        self.enlarged = sum(min(size) < patch for size in sizes)
        self.megapixels = sum(h * w for h, w in sizes) / 1e6
        scaled = [_scaled(size, scales, patch) for size in sizes]
        self._make_tables(sizes, scaled)
        self._fill(files, scaled)

    def _make_tables(
        self, sizes: Sequence[tuple[int, int]], scaled: Sequence[Sequence[tuple[int, int]]]
    ) -> None:
        """Make room for every picture at every scale."""
        flat = torch.tensor([size for several in scaled for size in several])
        cells = flat // _CELL + 1
        area = torch.tensor([h * w / len(s) for (h, w), s in zip(sizes, scaled, strict=True) for _ in s])
        self._shares = (area.double().cumsum(0) / area.double().sum()).float().to(self.device)
        begin = [F.pad(t.prod(1).cumsum(0), (1, 0)) for t in (flat, cells)]
        # height, width, first pixel, columns of cells, first cell
        table = torch.stack([*flat.T, begin[0][:-1], cells[:, 1], begin[1][:-1]])
        self._table = table.to(self.device)
        self._pixels = torch.empty((int(begin[0][-1]), 3), dtype=torch.uint8, device=self.device)
        self._detail = torch.empty(int(begin[1][-1]), device=self.device)

    def _fill(self, files: Sequence[PictureFile], scaled: Sequence[Sequence[tuple[int, int]]]) -> None:
        pixel = cell = 0
        for picture, several in zip(decode_all(files), scaled, strict=True):
            whole = torch.from_numpy(picture).to(self.device).permute(2, 0, 1)[None]
            for size in several:
                scaled_picture = _resize(whole, size)
                detail = _summed_detail(scaled_picture)
                self._pixels[pixel : pixel + size[0] * size[1]] = (
                    scaled_picture[0].permute(1, 2, 0).flatten(0, 1)
                )
                self._detail[cell : cell + detail.numel()] = detail.flatten()
                pixel, cell = pixel + size[0] * size[1], cell + detail.numel()

    def batch(self, count: int, size: int) -> tuple[Tensor, ...]:
        """Return patches and qualities."""
        return self.patches(count, size), random_qualities(count, self.device)

    def patches(self, count: int, size: int) -> Tensor:
        """Return ``(count, 3, size, size)`` float in [0, 1], each the most detailed of its candidates.

        Raises:
            ValueError: ``size`` is above ``patch``.
        """
        if size > self.patch:
            raise ValueError(
                f"patches of {size} are larger than {self.patch}; make Photographs with patch={size}"
            )
        which, top, left = self._place(count, size)
        _, width, begin = self._table[:3, which]
        flipped, mirrored, turned = torch.rand(3, count, device=self.device) < 0.5
        first = begin + (top + flipped * (size - 1)) * width + left + mirrored * (size - 1)
        down, right = torch.where(flipped, -width, width), torch.where(mirrored, -1, 1)
        down, right = torch.where(turned, right, down), torch.where(turned, down, right)
        steps = torch.arange(size, device=self.device)
        index = (first[:, None] + down[:, None] * steps)[:, :, None] + (right[:, None] * steps)[:, None]
        found = self._pixels.index_select(0, index.flatten())
        return found.reshape(count, size, size, 3).permute(0, 3, 1, 2).float() / 255

    def _place(self, count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw scaled pictures, and the row and column where a patch begins: of the candidates, the best."""
        drawn = torch.rand(3, count * self.candidates, device=self.device)
        which = torch.searchsorted(self._shares, drawn[0]).clamp_max(len(self._shares) - 1)
        height, width, _, columns, begin = self._table[:, which]
        top, left = (drawn[1] * (height - size + 1)).long(), (drawn[2] * (width - size + 1)).long()
        if self.candidates == 1:
            return which, top, left
        reach = max(1, size // _CELL)
        row = torch.minimum((top + _CELL // 2) // _CELL, height // _CELL - reach).clamp_min(0)
        column = torch.minimum((left + _CELL // 2) // _CELL, width // _CELL - reach).clamp_min(0)
        corner = begin + row * columns + column
        total = self._detail[corner + reach * columns + reach] + self._detail[corner]
        total = total - self._detail[corner + reach * columns] - self._detail[corner + reach]
        best = total.view(count, -1).argmax(1, keepdim=True)
        which, top, left = (t.view(count, -1).gather(1, best)[:, 0] for t in (which, top, left))
        return which, top, left


def _scaled(size: tuple[int, int], scales: Sequence[float], least: int) -> list[tuple[int, int]]:
    """Return height and width at each scale, at which a patch still fits."""
    floor = max(least, _CELL) / min(size)
    return [
        (max(least, round(size[0] * s)), max(least, round(size[1] * s)))
        for s in sorted({max(scale, floor) for scale in scales})
    ]


def _resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a picture ``(1, 3, H, W)`` uint8 at another size, antialiased."""
    if picture.device.type == "cpu":
        return F.interpolate(picture, size, mode="bilinear", antialias=True)
    return F.interpolate(picture.float(), size, mode="bilinear", antialias=True).round().byte()


def _summed_detail(picture: Tensor) -> Tensor:
    """Return sums of detail over the cells above and left of each, ``(rows + 1, columns + 1)``.

    A cell's detail is the mean absolute difference of neighbouring samples, in every fourth row and column.
    """
    x = picture[0, :, : picture.shape[-2] // _CELL * _CELL, : picture.shape[-1] // _CELL * _CELL]
    detail = _detail_along(x[:, ::_EVERY]) + _detail_along(x[..., ::_EVERY].mT).mT
    return F.pad(detail / 255, (1, 0, 1, 0)).cumsum(0).cumsum(1)


def _detail_along(rows: Tensor) -> Tensor:
    """Return the mean difference of neighbours in rows ``(3, H, W)``, for cells of fewer rows."""
    x = rows.float()
    return F.avg_pool2d(
        F.pad((x[..., 1:] - x[..., :-1]).abs().mean(0), (0, 1))[None], (_CELL // _EVERY, _CELL)
    )[0]


class HeldOut:
    """Fixed patches of pictures that are never trained on, and the loss on them.

    Args:
        source: of such pictures; count: patches kept; size: their side in pixels.
    """

    _AT_ONCE = 8

    def __init__(self, source: Source, count: int = 32, size: int = 256, seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            drawn = [source.batch(self._AT_ONCE, size) for _ in range(-(-count // self._AT_ONCE))]
        self._batches = drawn

    @torch.no_grad()
    def loss(self, objective: Callable[..., tuple[Tensor, Tensor]]) -> Tensor:
        """Return the mean loss, a scalar on the device."""
        return torch.stack([objective(*batch)[0] for batch in self._batches]).mean()
