"""Training patches: drawn as the sampler before drew them, from pictures on the device or streamed; some held out."""

from __future__ import annotations

import gc
import io
import random
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from licframe.errors import FileError, ImageError
from licframe.testing.exactness import sample_images
from licframe.training import HeldOut, Photographs, streaming
from licframe.training.pictures import PictureFile, find_pictures, split
from licframe.training.streaming import StreamedPhotographs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Pictures as unlike each other as photographs are: smooth ones, noisy ones, of several sizes."""
    made = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for k, pixels in enumerate(sample_images(6, 240, seed=5)):
        size = (200 + 30 * k, 320 - 20 * k)
        noise = rng.normal(0, 4 * k, (size[1], size[0], 3))
        scaled = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), float)
        Image.fromarray((scaled + noise).clip(0, 255).astype(np.uint8)).save(made / f"{k}.png")
    return made


def detail(x: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbouring samples of each patch, in levels."""
    return 255 * (x.diff(dim=-1).abs().mean((1, 2, 3)) + x.diff(dim=-2).abs().mean((1, 2, 3))) / 2


def patches_one_by_one(folder: Path, count: int, size: int, candidates: int) -> torch.Tensor:
    """Draw patches as the sampler before did: crop, scale by any factor, flip, transpose, the most detailed of some."""
    rng = random.Random(0)
    images = [
        torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)
        for path in sorted(folder.glob("*.png"))
    ]
    areas = [image[0].numel() for image in images]

    def draw() -> torch.Tensor:
        image = rng.choices(images, areas)[0]
        side = min(*image.shape[1:], round(size / rng.uniform(0.6, 1.0)))
        top, left = (rng.randint(0, whole - side) for whole in image.shape[1:])
        patch = image[None, :, top : top + side, left : left + side].float() / 255
        patch = F.interpolate(patch, (size, size), mode="bilinear", antialias=True)[0]
        return patch.transpose(1, 2) if rng.random() < 0.5 else patch

    drawn = torch.stack([draw() for _ in range(count * candidates)])
    best = detail(drawn).view(count, candidates).argmax(1)
    return drawn.unflatten(0, (count, candidates))[torch.arange(count), best]


@pytest.mark.parametrize("candidates", [1, 3])
def test_statistics_are_those_of_the_sampler_before(folder: Path, candidates: int) -> None:
    torch.manual_seed(0)
    new = Photographs([folder], candidates=candidates, patch=64).patches(600, 64)
    old = patches_one_by_one(folder, 600, 64, candidates)
    statistics = [
        torch.stack([detail(x).quantile(q) for q in (0.1, 0.5, 0.9)] + [x.mean() * 20, x.std() * 20])
        for x in (new, old)
    ]

    assert torch.allclose(*statistics, rtol=0.12), statistics


def test_patches_are_crops_turned_and_mirrored(folder: Path, tmp_path: Path) -> None:
    """Each is one of the eight views of a crop of a scaled picture, to the letter."""
    rows = np.arange(160)[:, None] * np.ones((1, 200))
    columns = np.arange(200)[None] * np.ones((160, 1))
    Image.fromarray(np.stack([rows, columns, 0 * rows], 2).astype(np.uint8)).save(tmp_path / "a.png")
    torch.manual_seed(0)
    drawn = (Photographs([tmp_path], patch=32, scales=(1.0,)).patches(64, 32) * 255).round()
    views = set()
    for patch in drawn:
        row, column = patch[:2]
        turned = bool(row[0, 0] == row[1, 0])
        down, right = (column, row) if turned else (row, column)
        steps = int(down[1, 0] - down[0, 0]), int(right[0, 1] - right[0, 0])
        index = torch.arange(32)
        assert {abs(step) for step in steps} == {1}
        assert torch.equal(down, (down[0, 0] + steps[0] * index)[:, None].expand(32, 32))
        assert torch.equal(right, (right[0, 0] + steps[1] * index)[None].expand(32, 32))
        assert 0 <= row.min() < row.max() <= 159
        assert 0 <= column.min() < column.max() <= 199
        views.add((turned, *steps))

    assert len(views) == 8


def test_the_most_detailed_candidate_wins(folder: Path) -> None:
    torch.manual_seed(0)
    photographs = Photographs([folder], candidates=4, patch=64)
    assert (
        detail(photographs.patches(200, 64)).mean()
        > 1.2 * detail(Photographs([folder], patch=64).patches(200, 64)).mean()
    )


def test_a_patch_larger_than_a_photograph_is_of_it_enlarged(folder: Path) -> None:
    photographs = Photographs([folder], patch=512)

    assert photographs.patches(2, 512).shape == (2, 3, 512, 512)
    assert photographs.patches(2, 96).shape == (2, 3, 96, 96)
    with pytest.raises(ValueError, match="patch=640"):
        photographs.patches(1, 640)


def test_the_same_seed_draws_the_same(folder: Path) -> None:
    photographs = Photographs([folder], candidates=3, patch=64)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(photographs.batch(3, 64))

    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not torch.equal(drawn[0][0], drawn[2][0])
    assert drawn[0][1].shape == (3,)


def test_bad_training_data_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"a\.png"):
        Photographs([tmp_path])
    (tmp_path / "a.png").unlink()
    with pytest.raises(FileError, match="no pictures"):
        Photographs([tmp_path])
    with pytest.raises(FileError, match="no training data"):
        Photographs([tmp_path / "nothing"])
    (tmp_path / "a.tar").write_bytes(b"no shard")
    with pytest.raises(FileError, match=r"shard .*a\.tar"):
        Photographs([tmp_path])
    (tmp_path / "a.tar").unlink()
    Image.new("RGB", (300, 9)).save(tmp_path / "thin.png")
    with pytest.raises(ImageError, match=r"thin\.png is too small"):
        Photographs([tmp_path])
    (tmp_path / "thin.png").unlink()
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ImageError, match=r"deep\.png has more than 8 bits"):
        Photographs([tmp_path])


def test_one_in_twenty_is_held_out_by_name(tmp_path: Path) -> None:
    """By name alone: not by place or company; a nearer view goes with its whole."""
    for number in range(400):
        (tmp_path / f"p{number}.png").write_bytes(b"")
    kept, held = split(find_pictures([tmp_path]))
    names = {file.name for file in held}
    (tmp_path / "other").mkdir()
    for name in list(names)[:3]:
        (tmp_path / "other" / f"{Path(name).stem}__zoom.png").write_bytes(b"")
        (tmp_path / "other" / name).write_bytes(b"")

    assert 8 <= len(held) <= 34
    assert len(kept) + len(held) == 400
    assert all(file.held_out for file in find_pictures([tmp_path / "other"]))
    assert split(kept[:7]) == (kept[:7], [])
    assert [len(part) for part in split(kept[:19])] == [18, 1]


def test_the_held_out_loss_is_always_of_the_same(folder: Path) -> None:
    torch.manual_seed(5)
    held = HeldOut(Photographs([folder], patch=64), 16, 64)
    before = torch.rand(1)
    losses = []
    for _ in range(2):
        losses.append(held.loss(lambda image, quality: (image.mean() + quality.mean(), image)))
        torch.rand(7)
    torch.manual_seed(5)
    again = HeldOut(Photographs([folder], patch=64), 16, 64)

    assert losses[0] == losses[1]
    assert again.loss(lambda image, quality: (image.mean() + quality.mean(), image)) == losses[0]
    assert torch.rand(1) == before  # nothing was drawn from the run's own numbers


@pytest.fixture(scope="module")
def shards(folder: Path, tmp_path_factory) -> list[Path]:
    place = tmp_path_factory.mktemp("shards")
    files = sorted(folder.glob("*.png"))
    for number in range(2):
        with tarfile.open(place / f"{number}.tar", "w") as shard:
            for path in files[number::2]:
                member = tarfile.TarInfo(f"v1.5 {path.name}")
                member.size = path.stat().st_size
                shard.addfile(member, io.BytesIO(path.read_bytes()))
    return sorted(place.iterdir())


# WebDataset leaves a shard open when its reader is let go
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_patches_stream_from_shards(shards: list[Path], folder: Path, workers: int) -> None:
    """Of all shards, with the statistics of those kept in memory."""
    source = StreamedPhotographs(
        shards, candidates=3, patch=64, per_picture=2, buffer=64, workers=workers, held_out=None
    )
    drawn = torch.cat([source.batch(25, 64)[0] for _ in range(12)])
    kept = Photographs([folder], candidates=3, patch=64).patches(400, 64)
    image, quality = source.batch(3, 64)

    assert image.shape == (3, 3, 64, 64)
    assert quality.shape == (3,)
    assert 0 <= image.min() < image.max() <= 1
    assert detail(drawn).mean() == pytest.approx(float(detail(kept).mean()), rel=0.3)
    with pytest.raises(ValueError, match="64 pixels"):
        source.batch(1, 32)
    del source
    gc.collect()  # here, where its warning is expected


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stream_is_repeatable_and_knows_names_as_they_are(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same seed gives the same patches; a name with dots and capitals is held out as it would be in memory."""
    drawn = [
        StreamedPhotographs(shards, patch=64, buffer=8, workers=0, seed=seed, held_out=None).batch(6, 64)[0]
        for seed in (1, 1, 2)
    ]
    names = [f"IMG.{k}.X.PNG" for k in range(60)]
    buffer = io.BytesIO()
    Image.new("RGB", (80, 80)).save(buffer, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(buffer.getvalue())
            shard.addfile(member, io.BytesIO(buffer.getvalue()))
    seen: list[str] = []

    class Spy(PictureFile):
        def decode(self) -> np.ndarray:
            seen.append(self.name)
            return super().decode()

    monkeypatch.setattr(streaming, "PictureFile", Spy)
    StreamedPhotographs([tmp_path / "a.tar"], patch=64, per_picture=1, buffer=1, workers=0).batch(100, 64)

    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert set(seen) == {name for name in names if not PictureFile(name, b"").held_out}
    assert set(seen) < set(names)
    gc.collect()


def test_missing_shards_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.tar"):
        StreamedPhotographs([tmp_path / "none.tar"])
