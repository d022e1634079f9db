"""What the training recipe needs beside a run: the loss on crops, deeper starts, refitting what belongs to base weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from licframe.cli.app import app
from licframe.codec.loading import build, load_latent
from licframe.errors import ImageError, LicframeError, ProfileError, WeightsMismatchError
from licframe.evaluation.blocks import switched_off
from licframe.model.latent_model import LatentModel
from licframe.profile.profile import latent_profile, profile_folder
from licframe.profile.weights import read_metadata
from licframe.training import Hardware, RateDistortion, Schedule, removal_costs, train
from licframe.training.deepening import move_weights
from licframe.training.development import crops, losses, model_of
from licframe.training.refit import Recipe, refit, table
from tests.conftest import noise_picture

WEIGHTS = profile_folder() / "weights"
WITH_BLOCKS = ["transform.analysis=[1,0,0]", "transform.synthesis=[1,1,0]"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    for k in range(3):
        Image.fromarray(noise_picture(300, 270, seed=k).pixels).save(made / f"{k}.png")
    return made


def run(*args: object) -> str:
    done = CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


# -- licframe bench loss


def test_crops_are_the_same_each_time(pictures: Path, tmp_path: Path) -> None:
    paths = sorted(pictures.iterdir())
    found = crops(paths, 5)

    assert found.shape == (5, 3, 256, 256)
    assert torch.equal(found, crops(paths, 5))
    assert not torch.equal(found[0], found[3])  # two of one picture
    y, x = np.mgrid[:300, :290]
    Image.fromarray(np.stack([x % 256, y % 256, x * 0], 2).astype(np.uint8)).save(tmp_path / "grid.png")
    red, green, _ = crops([tmp_path / "grid.png"], 2)[1].mul(255).round().int()
    assert (red.diff(dim=1) % 256 == 1).all()
    assert (green.diff(dim=0) % 256 == 1).all()


def test_a_picture_smaller_than_a_crop_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (300, 200)).save(tmp_path / "low.png")
    with pytest.raises(ImageError, match=r"low\.png is smaller"):
        crops([tmp_path / "low.png"], 1)


def test_the_loss_is_the_objectives_and_repeats(pictures: Path, untrained: LatentModel) -> None:
    images = crops(sorted(pictures.iterdir()), 3)
    found = losses(untrained, images, (20, 80))
    torch.manual_seed(0)
    with torch.no_grad():
        loss, _ = RateDistortion(untrained)(images, torch.full((3,), 80.0))

    assert found == losses(untrained, images, (20, 80))
    assert found[1] == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.slow
def test_profiles_weights_and_checkpoints_are_compared(pictures: Path, tmp_path: Path) -> None:
    made = train(
        "tiny",
        [pictures],
        folder=tmp_path / "run",
        hardware=Hardware(torch.device("cpu")),
        schedule=Schedule.of("tiny", minutes=1, steps=2, batch=1, patch=64),
    )
    shared = ("--images", pictures, "--count", 2, "--json")
    sources = ("tiny", WEIGHTS / "tiny.safetensors", made.weights, made.folder / "checkpoint.pt")
    found = json.loads(run("bench", "loss", *sources, *shared))

    assert [row["source"] for row in found] == list(map(str, sources))
    assert found[0]["mean"] == found[1]["mean"] != found[2]["mean"]
    assert found[0]["mean"] == pytest.approx(np.mean(list(found[0]["by_quality"].values())))
    assert found[3]["mean"] != found[2]["mean"]
    shown = run("bench", "loss", made.weights, "-p", "tiny", *shared[:4])
    assert shown.startswith(f"{found[2]['mean']:.4f}  5: ")


def test_a_checkpoint_of_another_profile_is_named(
    pictures: Path, tmp_path: Path, untrained: LatentModel
) -> None:
    from licframe.training.checkpoint import Checkpoint

    state = untrained.state_dict()
    key, value = next(iter(untrained.named_parameters()))
    Checkpoint(state, {key: value + 1, "auxiliary.x": torch.zeros(1)}, {}, 0, 0.0).write(tmp_path / "a.pt")

    assert torch.equal(
        dict(model_of(latent_profile("tiny"), tmp_path / "a.pt").named_parameters())[key], value + 1
    )
    with pytest.raises(WeightsMismatchError, match="not of profile tiny"):
        model_of(latent_profile("tiny", ["transform.channels=64"]), tmp_path / "a.pt")
    bare = tmp_path / "bare.toml"
    bare.write_text('extends = "tiny"\n[weights]\nfile = ""\n')
    with pytest.raises(WeightsMismatchError, match="names no weights"):
        model_of(latent_profile(bare))


# -- blocks


def test_a_block_that_is_switched_off_passes_on_what_it_is_given() -> None:
    codec = build(latent_profile("tiny", WITH_BLOCKS))
    blocks = codec.transform.removable_blocks()
    for parameter in codec.transform.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    name, block = next((n, b) for n, b in blocks.items() if "synthesis" in n)
    seen: list[torch.Tensor] = []
    block.register_forward_hook(lambda _, inputs, output: seen.extend((inputs[0], output)))
    latent, quality = torch.randn(1, codec.transform.latent_channels, 4, 4), torch.full((1,), 50.0)
    with torch.no_grad():
        whole = codec.transform.synthesis(latent, quality)
        with switched_off(block):
            without = codec.transform.synthesis(latent, quality)
        again = codec.transform.synthesis(latent, quality)

    assert len(blocks) == 6
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(whole, without)
    assert torch.equal(whole, again)
    costs = removal_costs(codec, torch.rand(2, 3, 32, 32))
    assert set(costs) == {n for n in blocks if "synthesis" in n}
    assert list(costs.values()) == sorted(costs.values())
    assert costs[name] != 0


# -- licframe deepen


def test_a_deeper_transform_starts_where_the_trained_one_is(tmp_path: Path) -> None:
    out = tmp_path / "start.safetensors"
    larger = [word for setting in WITH_BLOCKS for word in ("--set", setting)]
    said = run("deepen", "tiny", "tiny", out, *larger)
    old, new = load_latent("tiny").model, load_latent("tiny", [*WITH_BLOCKS, f"weights.file={out}"]).model
    image, quality = torch.rand(1, 3, 64, 64), torch.full((1,), 50.0)
    with torch.no_grad():
        before, after = (codec.estimate(image, quality, noisy=False) for codec in (old, new))

    assert f"--start {out}" in said
    assert read_metadata(out)["training"] == {"moved_from": "tiny"}
    assert sum(p.numel() for p in new.parameters()) > sum(p.numel() for p in old.parameters())
    moved = (before.image - after.image).square().mean()
    assert 0 < moved < 1e-3 * (before.image - image).square().mean()
    assert after.bits.item() == pytest.approx(before.bits.item(), rel=1e-2)


def test_wider_layers_lead_nowhere_at_first() -> None:
    """Inner channels that are new are not seen by the last convolution."""
    wide = [*WITH_BLOCKS, "transform.widths=[12,24,16]"]
    old, new = build(latent_profile("tiny", WITH_BLOCKS)), build(latent_profile("tiny", wide))
    for parameter in old.transform.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    move_weights(old.state_dict(), new)
    latent, quality = torch.randn(1, 48, 4, 4), torch.full((1,), 50.0)

    with torch.no_grad():
        a, b = (codec.transform.synthesis(latent, quality) for codec in (old, new))
    assert torch.allclose(a, b, atol=1e-4)


# -- licframe refit


def recipe(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    shutil.copy(WEIGHTS / "tiny.safetensors", folder / "tiny.safetensors")
    (folder / "refit.toml").write_text(text)
    return folder / "refit.toml"


FIT = """
base = "tiny"

[[part]]
name = "laplace"
command = "train tiny --set entropy_model.plugin=laplace --fit context --start {base} --latents 8 --batch 1 --set training.patch=64"
minutes = 2
begin = "--context"
"""


@pytest.mark.slow
def test_refit_puts_parts_in_place_and_begins_from_the_last(pictures: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path / "weights", FIT)
    page = path.parent / "README.md"
    page.write_text(
        "| file | by | run | patches | minutes | sha256 |\n|---|---|---|---|---|---|\n| `tiny+laplace` | | | | | |\n"
    )
    options = (
        "--data",
        pictures,
        "--recipe",
        path,
        "--folder",
        tmp_path / "runs",
        "--factor",
        0.005,
        "--jobs",
        1,
    )
    made = path.parent / "tiny+laplace.safetensors"
    first = run("refit", *options)
    one = read_metadata(made)
    second = run("refit", WEIGHTS / "tiny.safetensors", *options, "--only", "laplace")
    two = read_metadata(made)

    assert "--context" not in first
    assert f"--context {tmp_path / 'runs' / 'before' / made.name}" in second
    assert second.endswith("laplace: done\n")
    assert two["training"]["context"] == one["fingerprint"]
    assert read_metadata(tmp_path / "runs" / "before" / made.name) == one
    row = page.read_text().splitlines()[-1]
    assert row.endswith(f"| `{hashlib.sha256(made.read_bytes()).hexdigest()}` |")
    assert f"| {two['training']['patches']:,} |" in row
    assert table(page.read_text(), path.parent) == page.read_text()


@pytest.mark.slow
def test_a_part_that_fails_says_where_and_leaves_the_old_file(pictures: Path, tmp_path: Path) -> None:
    path = recipe(
        tmp_path / "weights",
        'base = "tiny"\n[[part]]\nname = "x"\ncommand = "train nothing"\nminutes = 1\n',
    )
    old = path.parent / "tiny+x.safetensors"
    old.write_bytes(b"old")
    with pytest.raises(LicframeError, match=r'no profile "nothing".*output\.txt'):
        refit(Recipe.read(path), [pictures], folder=tmp_path / "runs")
    with pytest.raises(LicframeError, match='did you mean "x"'):
        refit(Recipe.read(path), [pictures], folder=tmp_path / "runs", only=["xx"])
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize(
    "text",
    [
        "base = 1 2",
        "part = []\n",
        'base = "a"\n[[part]]\nname = "x"\n',
        'base = "a"\nmore = 1\npart = []',
    ],
)
def test_a_bad_recipe_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "refit.toml").write_text(text)
    with pytest.raises(ProfileError, match=r"refit\.toml is no recipe"):
        Recipe.read(tmp_path / "refit.toml")


def test_the_shipped_recipe_names_every_file_beside_the_base_weights() -> None:
    found = Recipe.read(WEIGHTS / "refit.toml")

    assert {found.file(part.name) for part in found.part} == {p.name for p in WEIGHTS.glob("balanced+*")}
    for part in found.part:
        on_base = (
            part.command.startswith("distill ") or "--fit detail" in part.command
        )  # a profile names it
        assert on_base or "{base}" in part.command
