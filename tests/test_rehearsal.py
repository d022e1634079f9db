"""A rehearsal of a GPU without one: everything that a step does, on PyTorch's "meta" device.

There a value that is read back raises. A tensor of another device is refused here, whatever it is used for: on a GPU it
would be copied in every step, or raise.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from licframe.codec.loading import build
from licframe.model.latent_model import LatentModel
from licframe.model.refinement import LatentObjective
from licframe.profile.profile import SMALLEST_PATCH, latent_profile, latent_profiles
from licframe.testing.exactness import sample_images
from licframe.training import (
    DISTORTIONS,
    Hardware,
    Photographs,
    Rate,
    RateDistortion,
    Schedule,
    Trainer,
    optimiser,
)
from licframe.training.checkpoint import Checkpoint
from licframe.training.distillation import DecodedPatches, Distillation
from licframe.training.latents import CachedLatents
from licframe_plugins.refiners.relaxations import RELAXATIONS

pytestmark = pytest.mark.slow

META = torch.device("meta")
HARDWARE = Hardware(META)
DISTILLED = [
    "transform.plugin=distilled",
    *(
        f"transform.{option}"
        for option in (
            "channels=48",
            "merged=64",
            "widths=[8,16,16]",
            "analysis=[0,0,0]",
            "synthesis_widths=[8,8,0]",
        )
    ),
]


class OnlyThere(TorchDispatchMode):
    """Refuses what takes or makes a tensor that is not on the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, found)):
            if isinstance(value, torch.Tensor) and value.device != META:
                raise AssertionError(f"{func} with a tensor {tuple(value.shape)} on {value.device}")
        return found


class FakeAdam(torch.optim.Optimizer):
    """In place of AdamW, whose fused kernel does not run on meta; what it is given is looked at by the mode."""

    def __init__(self, params: Any, **defaults: Any) -> None:
        super().__init__(params, {"lr": 0.0, "betas": (0.9, 0.98)})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad / self.grad_scale * group["lr"] * (1 - self.found_inf))


@pytest.fixture(autouse=True)
def _no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimiser, "AdamW", FakeAdam)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Photographs:
    folder = tmp_path_factory.mktemp("photographs")
    for k, pixels in enumerate(sample_images(2, 180, seed=5)):
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return Photographs([folder], device=META, candidates=3, patch=176)


def there(profile: str, settings: list[str] | None = None) -> LatentModel:
    return build(latent_profile(profile, settings or [])).to(META)


def rehearse(trainer: Trainer, *, strict: bool = True) -> None:
    """Take the first step, which makes what is made once, and then one in which only the device is used."""
    trainer.take(0, 0.0)
    with OnlyThere() if strict else nullcontext():
        batch = trainer.source.batch(*trainer.schedule.shape(0.0))
        trainer.step(*batch)
        trainer.average.update(4)


def trainer_of(codec: LatentModel, source: Any, objective: Any, patch: int = 64, **more: Any) -> Trainer:
    return Trainer(codec, source, objective, Schedule(batch=2, patch=patch), HARDWARE, **more)


@pytest.mark.parametrize("profile", latent_profiles())
def test_a_step_of_every_profile(photographs: Photographs, profile: str) -> None:
    codec, training = there(profile), latent_profile(profile).training
    # The package for MS-SSIM makes its window in main memory: such a step is run, not recorded.
    similar = training.distortion == "ms-ssim"
    objective = RateDistortion(codec, DISTORTIONS[training.distortion])
    made = trainer_of(codec, photographs, objective, max(64, SMALLEST_PATCH[training.distortion]))
    assert objective.recordable != similar
    rehearse(made, strict=not similar)


@pytest.mark.parametrize("scheduler", ["autoregressive", "checkerboard", "hyperprior", "msp"])
@pytest.mark.parametrize("entropy", ["gaussian", "gllmm"])
def test_a_step_of_a_context(photographs: Photographs, scheduler: str, entropy: str) -> None:
    order = ["context_scheduler.order=wavefront"] if scheduler == "autoregressive" else []
    codec = there(
        "tiny", [f"context_scheduler.plugin={scheduler}", f"entropy_model.plugin={entropy}", *order]
    )
    cached = CachedLatents(codec, photographs, 4, 64)
    rehearse(trainer_of(codec, cached, Rate(codec, 64 * 64)))


def test_a_step_of_a_distillation(photographs: Photographs) -> None:
    teacher, student = there("tiny"), there("tiny", DISTILLED)
    decoded = DecodedPatches(teacher, photographs, 4, 64, HARDWARE)
    objective = Distillation(student, teacher)
    for progress in (0.0, 1.0):
        objective.advance(progress)
        rehearse(trainer_of(student, decoded, objective))


def test_a_step_with_another_decoder(photographs: Photographs) -> None:
    codec, other = there("tiny"), there("tiny", DISTILLED)
    rehearse(trainer_of(codec, photographs, RateDistortion(codec, auxiliary=other.transform)))


@pytest.mark.parametrize("name", RELAXATIONS)
def test_a_step_of_latent_overfitting(name: str) -> None:
    codec = there("tiny")
    image = torch.rand(1, 3, 64, 64, device=META)
    relaxation = RELAXATIONS[name]
    with torch.no_grad():
        start = codec.analyse(image, 50)
    problem = LatentObjective(codec, image, start, 50)
    latent = start.clone().requires_grad_()
    for mode in (torch.enable_grad(), OnlyThere()):  # the first time indices are made
        with mode:
            cost = problem.estimated_cost(
                latent, relaxation.make(0.5, None), unit_slope=relaxation.unit_slope
            )
            cost.backward()
    assert latent.grad is not None


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")
def test_a_checkpoint_goes_to_main_memory_and_back(
    photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written is on the CPU, all of it; what is restored is on the device, all of it."""
    moved: Callable[..., torch.Tensor] = torch.Tensor.to

    def to(value: torch.Tensor, where: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        if value.device == META and where == "cpu":
            return torch.zeros(value.shape, dtype=value.dtype)
        return moved(value, where, *args, **kwargs)

    codec = there("tiny")
    made = trainer_of(codec, photographs, RateDistortion(codec), folder=tmp_path)
    made.take(0, 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(torch.Tensor, "to", to)
        made._save(1.0)
    again = trainer_of(there("tiny"), photographs, RateDistortion(codec), folder=tmp_path)
    again.resume()
    written = Checkpoint.read(again.checkpoint, again.optimisers.parameters)

    assert made.undecayed is not None
    for state in (written.model, written.average, *written.moments.values()):
        assert all(value.device.type == "cpu" for value in state.values())
    restored = again.optimisers.state()
    assert restored
    assert all(value.device == META for state in restored.values() for value in state.values())
    rehearse(again)


@pytest.mark.parametrize("wrong", ["another device", "read back", "an index"])
def test_the_rehearsal_finds_what_is_wrong(
    photographs: Photographs, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = there("tiny")
    made = trainer_of(codec, photographs, RateDistortion(codec))
    gains = type(codec.gains).forward

    def spoilt(self: Any, quality: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gain, inverse = gains(self, quality)
        if wrong == "another device":
            gain = gain + torch.zeros(gain.shape)
        if wrong == "read back" and float(gain.sum()) > 0:
            gain = gain * 2
        if wrong == "an index":
            gain = gain[torch.arange(len(gain), device="cpu")]
        return gain, inverse

    rehearse(made)
    monkeypatch.setattr(type(codec.gains), "forward", spoilt)
    with pytest.raises((RuntimeError, AssertionError), match=r"meta|on cpu"):
        rehearse(made)
