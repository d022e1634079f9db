"""Training patches from tar shards that are read while training: for sets that do not fit in memory.

Shards are read by WebDataset in worker processes, in another order each time around; every picture gives some
patches, and a buffer mixes those of many pictures.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from licframe.errors import FileError
from licframe.model.gains import random_qualities
from licframe.runtime.extras import require
from licframe.training.pictures import SUFFIXES, PictureFile
from licframe.training.processes import Processes

_LEAST_SCALE = 0.6
_EVERY = 8


class StreamedPhotographs:
    """Random patches of pictures in tar shards; a ``Source``.

    Patches are drawn as ``Photographs`` draws them, but for pictures, which come once each time around.

    Args:
        shards: tar files of pictures.
        device: where batches go.
        candidates: each patch is the most detailed of so many draws.
        patch: side of the patches; no other can be asked for.
        per_picture: patches that one picture gives when it comes by.
        buffer: patches that are mixed; workers: processes that decode, 0 for none.
        held_out: only pictures that are held out, or only the others; None for all.
        processes: that share the shards; those that ``torchrun`` started if left out.

    Raises:
        MissingPackageError: webdataset is not installed.
        FileError: there is no shard, or none for one of the processes.
    """

    #: patches of processes are their own (see ``Source``)
    split = True

    def __init__(
        self,
        shards: Sequence[Path],
        device: torch.device | str = "cpu",
        candidates: int = 1,
        patch: int = 256,
        per_picture: int = 4,
        buffer: int = 512,
        workers: int = 2,
        seed: int = 0,
        held_out: bool | None = False,
        processes: Processes | None = None,
    ) -> None:
        webdataset = require("webdataset", "streaming")
        missing = [str(path) for path in shards if not path.is_file()]
        if missing or not shards:
            raise FileError(f"no shards at {', '.join(missing) or 'all'}; give .tar files")
        self.device, self.patch = torch.device(device), patch
        self._processes = processes or Processes.started()
        own, seed = shards[self._processes.rank :: self._processes.count], seed + self._processes.rank
        if not own:
            raise FileError(
                f"{len(shards)} shards cannot be shared by {self._processes.count} processes; give as many, or more"
            )
        cut = _Cutter(candidates, patch, per_picture, seed, held_out)
        dataset = webdataset.DataPipeline(
            webdataset.ResampledShards([str(path) for path in own], seed=seed, deterministic=True),
            _members,
            cut,
            webdataset.shuffle(buffer, initial=min(buffer, 4 * per_picture), seed=seed),
        )
        self._loader = torch.utils.data.DataLoader(
            dataset, batch_size=None, num_workers=workers, prefetch_factor=64 if workers else None
        )
        self._patches: Iterator[Tensor] | None = None

    def batch(self, count: int, size: int) -> tuple[Tensor, ...]:
        """Return patches ``(count, 3, size, size)`` in [0, 1], and qualities.

        Raises:
            ValueError: another size than that of the source.
        """
        if size != self.patch:
            raise ValueError(f"patches are {self.patch} pixels wide, not {size}")
        if self._patches is None:
            self._patches = iter(self._loader)
        drawn = torch.stack([next(self._patches) for _ in range(count)]).to(self.device, non_blocking=True)
        qualities = self._processes.part([random_qualities(count * self._processes.count, self.device)])
        return drawn.permute(0, 3, 1, 2).float() / 255, *qualities


def _members(shards: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield name and bytes of every file in shards."""
    from webdataset.tariterators import tar_file_expander, url_opener

    # What has no name is a mark of where a shard ends.
    yield from (member for member in tar_file_expander(url_opener(shards)) if "fname" in member)


class _Cutter:
    """Turn members of a shard into patches ``(size, size, 3)`` uint8."""

    def __init__(
        self, candidates: int, patch: int, per_picture: int, seed: int, held_out: bool | None
    ) -> None:
        self.candidates, self.patch, self.per_picture = candidates, patch, per_picture
        self.seed, self.held_out = seed, held_out

    def __call__(self, members: Iterable[dict[str, Any]]) -> Iterator[Tensor]:
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(self.seed + (0 if worker is None else worker.id))
        for member in members:
            file = PictureFile(member["fname"], member["data"])
            if PurePosixPath(file.name).suffix.lower() not in SUFFIXES:
                continue
            if self.held_out is None or file.held_out == self.held_out:
                yield from self._patches(Image.fromarray(file.decode()), rng)

    def _patches(self, image: Image.Image, rng: random.Random) -> Iterator[Tensor]:
        for _ in range(self.per_picture):
            drawn = [self._draw(image, rng) for _ in range(self.candidates)]
            yield torch.from_numpy(max(drawn, key=_detail) if len(drawn) > 1 else drawn[0])

    def _draw(self, image: Image.Image, rng: random.Random) -> np.ndarray[Any, Any]:
        side = min(*image.size, round(self.patch / rng.uniform(_LEAST_SCALE, 1.0)))
        left, top = (rng.randint(0, room - side) for room in image.size)
        box = (left, top, left + side, top + side)
        patch = np.asarray(image.resize((self.patch, self.patch), Image.Resampling.BILINEAR, box))
        if rng.random() < 0.5:
            patch = patch[::-1]
        if rng.random() < 0.5:
            patch = patch[:, ::-1]
        if rng.random() < 0.5:
            patch = patch.transpose(1, 0, 2)
        return patch.copy()


def _detail(patch: np.ndarray[Any, Any]) -> float:
    """Return the mean absolute difference of neighbouring samples, in a few rows and columns."""
    x = patch.astype(np.int16)
    rows, columns = x[::_EVERY], x[:, ::_EVERY]
    return float(np.abs(np.diff(rows, axis=1)).mean() + np.abs(np.diff(columns, axis=0)).mean())
