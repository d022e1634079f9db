"""The trainer: it learns, it resumes, it is repeatable, it does not swallow NaN."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric import Fabric
from PIL import Image

from licframe.codec import Codec
from licframe.errors import ImageError, LicframeError, WeightsMismatchError
from licframe.evaluation import metrics
from licframe.loading import build, load
from licframe.precision import has_bfloat16
from licframe.profile import load_profile
from licframe.rate import lambda_of
from licframe.testing.exactness import sample_images
from licframe.training import hardware
from licframe.training.data import Photographs
from licframe.training.distillation import DecodedPatches, DistillationObjective
from licframe.training.loop import Leg, Tally, Trainer, schedule
from licframe.training.muon import Muon, orthogonalise
from licframe.training.objective import Objective, similarity
from licframe.weights import load_shared

BFLOAT16 = has_bfloat16(torch.device("cpu"))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Photographs:
    folder = tmp_path_factory.mktemp("photographs")
    for k, pixels in enumerate(sample_images(4, 220, seed=5)):
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return Photographs([folder])


def trainer(photographs: Photographs, folder: Path, steps: int, **options: object) -> Trainer:
    leg = Leg(minutes=1, steps=steps, batch=2, patch=64, log_every=5, warmup=5, **options)
    fabric = Fabric(accelerator="cpu", devices=1)
    return Trainer(build(load_profile("tiny")), photographs, leg, folder, fabric)


def test_patches_have_their_size_and_range(photographs: Photographs) -> None:
    patches = photographs.patches(5, 96, random.Random(0))

    assert patches.shape == (5, 3, 96, 96)
    assert 0 <= patches.min() < patches.max() <= 1.0001


def test_busier_patches_are_chosen_where_asked(photographs: Photographs) -> None:
    def gradient(x: torch.Tensor) -> float:
        return float(x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean())

    choosy = Photographs.__new__(Photographs)
    choosy.__dict__ |= photographs.__dict__ | {"candidates": 4}
    plain = photographs.patches(32, 64, random.Random(0))
    busy = choosy.patches(8, 64, random.Random(0))

    for i, patch in enumerate(busy):  # looked at in a few rows and columns, so nearly the busiest
        drawn = plain[4 * i : 4 * i + 4]
        assert any(torch.equal(patch, one) for one in drawn)
        assert gradient(patch) > 0.9 * max(map(gradient, drawn))


def test_a_patch_larger_than_a_photograph_is_scaled(photographs: Photographs) -> None:
    assert photographs.patches(1, 512, random.Random(0)).shape == (1, 3, 512, 512)


def test_training_lowers_the_loss_and_logs_it(photographs: Photographs, tmp_path: Path) -> None:
    made = trainer(photographs, tmp_path, 60)
    made.initialise(photographs)
    made.run()
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]

    assert [entry["step"] for entry in log] == list(range(5, 61, 5))
    first, last = (np.mean([e["loss"] for e in log[part]]) for part in (slice(0, 3), slice(-3, None)))
    assert last < first
    assert len(log[0]["psnr_by_quality"]) == 4


def test_same_seed_same_weights(photographs: Photographs, tmp_path: Path) -> None:
    states = []
    for name in ("a", "b"):
        torch.manual_seed(0)
        made = trainer(photographs, tmp_path / name, 4)
        made.initialise(photographs)
        made.run()
        states.append(made.codec.state_dict())

    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_resume_goes_on(photographs: Photographs, tmp_path: Path) -> None:
    first = trainer(photographs, tmp_path, 6)
    first.initialise(photographs)
    first.run()
    second = trainer(photographs, tmp_path, 6)
    second.resume()
    assert second.patches == 12
    second.run()

    assert second.patches == 24
    assert second.minutes > first.minutes


def test_resume_from_nothing_or_damage_is_named(photographs: Photographs, tmp_path: Path) -> None:
    made = trainer(photographs, tmp_path, 1)
    with pytest.raises(LicframeError, match="nothing to resume"):
        made.resume()
    made.checkpoint.write_bytes(b"damage")
    with pytest.raises(LicframeError, match="cannot resume"):
        made.resume()


def test_nan_stops_the_leg_with_the_batch_saved(photographs: Photographs, tmp_path: Path) -> None:
    made = trainer(photographs, tmp_path, 10)
    made.initialise(photographs)
    torch.nn.init.constant_(made.codec.gains.log2_gain, float("nan"))

    with pytest.raises(LicframeError, match="diverged"):
        made.run()
    assert (tmp_path / "bad_batch.pt").exists()


def test_schedule_warms_up_holds_and_decays() -> None:
    assert schedule(0, 0.0, 100) == pytest.approx(0.01)
    assert schedule(500, 0.5, 100) == 1.0
    assert schedule(500, 0.85, 100) == pytest.approx(0.505)
    assert schedule(500, 1.0, 100) == pytest.approx(0.01)
    assert schedule(500, 0.75, 100, decay=0.5) == pytest.approx(0.505)
    assert schedule(500, 0.99, 100, decay=0.0) == 1.0


def test_muon_update_is_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    for shape in ((16, 144), (144, 16), (32, 32)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert values.max() < 1.3
        assert values.median() > 0.6


def test_muon_descends() -> None:
    weight = torch.nn.Parameter(torch.full((4, 4, 3, 3), 1.0))
    optimiser = Muon([weight], lr=0.02)
    losses = []
    for _ in range(50):
        loss = weight.square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < losses[0]


def test_tally_groups_by_quality() -> None:
    tally = Tally(torch.device("cpu"))
    tally.add(torch.tensor([10.0, 90.0]), torch.tensor([[1.0, 3.0], [0.5, 1.5], [0.01, 0.0001]]))
    figures = tally.figures()

    assert figures["loss"] == 2.0
    assert figures["bpp"] == 1.0
    assert figures["psnr_by_quality"] == [pytest.approx(20.0), None, None, pytest.approx(40.0, abs=1e-3)]


def test_bad_training_data_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"a\.png"):
        Photographs([tmp_path])
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match="no pictures"):
        Photographs([tmp_path])


@pytest.mark.parametrize("ends", [3, 1])
def test_distillation_teaches_a_small_synthesis_and_nothing_else(
    photographs: Photographs, tmp_path: Path, ends: int
) -> None:
    options = (
        "channels=48",
        "merged=64",
        "widths=[8,16,16]",
        "analysis=[0,0,0]",
        "synthesis_widths=[8,8,0]",
        f"synthesis_ends={ends}",
    )
    teacher = load("tiny")
    student = build(
        load_profile("tiny", ["transform.plugin=distilled", *(f"transform.{o}" for o in options)])
    )
    load_shared(load_profile("tiny").weights_path, student)
    student.transform.learn_from(teacher.transform)
    fabric = Fabric(accelerator="cpu", devices=1)
    decoded = DecodedPatches(teacher, photographs, 12, 64, random.Random(0), fabric)
    image, latent, picture, bits, quality = decoded.batch(12, 64, random.Random(1))
    before = {k: v.clone() for k, v in student.state_dict().items()}
    stranger = build(
        load_profile(
            "tiny", ["transform.plugin=distilled", *(f"transform.{o}" for o in (*options, "merged=96"))]
        )
    )
    with pytest.raises(WeightsMismatchError, match="give the student"):
        stranger.transform.learn_from(teacher.transform)

    def error() -> float:
        with torch.no_grad():
            return float((student.transform.synthesis(latent, quality) - image).square().mean())

    start = error()
    objective = DistillationObjective(student, teacher)
    leg = Leg(minutes=1, steps=40, batch=4, patch=64, log_every=20, warmup=5)
    Trainer(student, decoded, leg, tmp_path, fabric, objective).run()

    assert bits.shape == quality.shape == (12,)
    with torch.no_grad():
        known = teacher.transform.synthesis(latent, quality)
    assert float((picture - known).abs().max()) < 1e-3
    assert error() < 0.97 * start
    changed = {k for k, v in student.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all("transform.synthesis" in name for name in changed)


def test_a_synthesis_learns_along(photographs: Photographs, tmp_path: Path) -> None:
    """A leg without it can be gone on with, and the analysis hears of it."""
    sizes = ("channels=48", "merged=64", "widths=[8,16,16]", "analysis=[0,0,0]", "synthesis_widths=[8,8,0]")
    settings = ["transform.plugin=distilled", *(f"transform.{o}" for o in sizes)]
    trainer(photographs, tmp_path, 4).run()
    student = build(load_profile("tiny", settings)).transform
    leg = Leg(minutes=1, steps=8, batch=2, patch=64, log_every=5, warmup=5)
    fabric = Fabric(accelerator="cpu", devices=1)

    def going_on() -> Trainer:
        codec = build(load_profile("tiny"))
        made = Trainer(codec, photographs, leg, tmp_path, fabric, Objective(codec, also=student))
        made.resume()
        return made

    along = going_on()
    before = {k: v.clone() for k, v in student.state_dict().items()}
    image, quality = torch.rand(1, 3, 64, 64), torch.tensor([50.0])
    found = []
    for also in (None, along.codec.transform, student):
        torch.manual_seed(0)
        loss = Objective(along.codec, also=also)(image, quality)[0]
        found.append(torch.autograd.grad(loss, along.codec.transform.analysis_linear[0].weight)[0])
    assert torch.allclose(found[1], found[0], rtol=1e-3)  # the same twice is the same
    assert not torch.allclose(found[2], found[0], rtol=1e-3)
    along.run()

    after = student.state_dict()
    assert any(not torch.equal(after[k], v) for k, v in before.items())
    saved = torch.load(along.checkpoint, weights_only=True)
    assert saved["also"].keys() == before.keys()
    assert {"also.synthesis_blocks.0.first.weight", "transform.synthesis_blocks.0.first.weight"} <= saved[
        "average"
    ].keys()
    student.load_state_dict(before)
    going_on()
    assert all(torch.equal(v, saved["also"][k]) for k, v in student.state_dict().items())


def test_features_that_differ_in_number_are_matched_by_what_learns(
    photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student = load("tiny"), load("tiny")
    whole = student.transform.features

    def fewer(latent: torch.Tensor, quality: torch.Tensor) -> dict[str, torch.Tensor]:
        found = whole(latent, quality)
        return found | {"1/8": found["1/8"][:, ::2]}

    monkeypatch.setattr(student.transform, "features", fewer)
    objective = DistillationObjective(student, teacher)
    before = {k: v.clone() for k, v in objective.projections.state_dict().items()}
    fabric = Fabric(accelerator="cpu", devices=1)
    decoded = DecodedPatches(teacher, photographs, 8, 64, random.Random(0), fabric)
    objective.elapsed = 1.0
    loss = objective(*decoded.batch(8, 64, random.Random(1)))[1][0]
    assert torch.allclose(loss, torch.ones(8), atol=1e-3)  # of the teacher's own error, at any quality
    objective.elapsed = 0.0
    leg = Leg(minutes=1, steps=20, batch=4, patch=64, log_every=20, warmup=5)
    Trainer(student, decoded, leg, tmp_path, fabric, objective).run()

    after = objective.projections.state_dict()
    assert before
    assert all(not torch.equal(after[k], v) for k, v in before.items())


def test_the_l1_term_is_of_quantisation_steps(untrained: Codec) -> None:
    """It grows with the gain, and its gradient does not shrink gains."""
    image, quality = torch.rand(2, 3, 64, 64), torch.tensor([10.0, 90.0])
    losses = []
    for beta in (0.0, 1.0):
        torch.manual_seed(0)
        losses.append(Objective(untrained, beta)(image, quality)[0])
    term = losses[1] - losses[0]
    term.backward()

    with torch.no_grad():
        steps = untrained.transform.analysis(image, quality) * untrained.gains(quality)[0][:, :, None, None]
    low, high = (float(x.abs().mean()) for x in steps)
    weights = (lambda_of(quality) / 0.013).sqrt()
    assert high > 2 * low > 0
    assert float(term.detach()) == pytest.approx(
        (low / float(weights[0]) + high / float(weights[1])) / 2, rel=1e-3
    )
    assert float(untrained.gains.log2_gain.grad.abs().max()) < 1e-4


def test_the_precision_is_that_of_the_hardware_or_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for has, expected in ((False, "32-true"), (True, "bf16-mixed")):
        monkeypatch.setattr(hardware, "has_bfloat16", lambda device, has=has: has)
        assert hardware.fabric_on("cpu")._precision.precision == expected
    assert hardware.fabric_on("cpu", "32-true")._precision.precision == "32-true"


def test_inputs_are_not_rounded() -> None:
    """A pixel has more than the eight bits of a bfloat16."""

    class Seen(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.zero

        zero = torch.nn.Parameter(torch.zeros(1))

    x = torch.rand(100)
    seen = hardware.fabric_on("cpu", "bf16-mixed").setup_module(Seen())

    assert torch.equal(seen(x), x)


@pytest.mark.parametrize("wrong", [("cpu", "fp8"), ("abacus", "auto")])
def test_unknown_hardware_is_named(wrong: tuple[str, str]) -> None:
    with pytest.raises(LicframeError, match=r"expected auto"):
        hardware.fabric_on(*wrong)


def test_similarity_is_ms_ssim_that_sees_the_borders() -> None:
    """Equal to the metric inside; the outermost pixels have as much of a gradient as the others."""
    torch.manual_seed(0)
    picture = torch.from_numpy(sample_images(1, 192, seed=2)[0][:192, :192].copy()) / 255
    image = picture.permute(2, 0, 1)[None]
    noisy = (image + 0.05 * torch.randn_like(image)).requires_grad_()
    found = similarity(noisy, image)
    (gradient,) = torch.autograd.grad(found, noisy)
    energy = gradient.square().mean((0, 1))
    edge = torch.cat([energy[:2].flatten(), energy[-2:].flatten(), energy[:, :2].flatten()]).mean()

    assert float(found.detach()) == pytest.approx(
        metrics.ms_ssim(
            *(
                t.detach()[0].permute(1, 2, 0).clamp(0, 1).mul(255).round().byte().numpy()
                for t in (noisy, image)
            )
        ),
        abs=0.01,
    )
    assert edge > 0.5 * energy[32:-32, 32:-32].mean()


@pytest.mark.parametrize(
    "autocast", [False, pytest.param(True, marks=pytest.mark.skipif(not BFLOAT16, reason="no bfloat16"))]
)
def test_ms_ssim_may_be_what_is_trained_for(autocast: bool) -> None:
    """The loss is rate plus 1280 lambda (1 - MS-SSIM), and its gradient raises MS-SSIM."""
    torch.manual_seed(0)
    codec = load("tiny")
    codec.requires_grad_(True)
    picture = sample_images(1, 192, seed=2)[0][:192, :192]
    image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
    quality = torch.tensor([29.0])

    def judged() -> tuple[torch.Tensor, float, float]:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            torch.manual_seed(1)
            loss, detail = Objective(codec, distortion="ms-ssim")(image, quality)
            torch.manual_seed(1)
            decoded = codec.estimate(image, quality).image.detach()
        return loss, float(detail[1]), float(similarity(decoded, image))

    loss, bpp, before = judged()
    lam = lambda_of(quality)
    expected = (bpp + lam * 1280 * (1 - before)) / (lam / 0.013).sqrt()
    assert loss.item() == pytest.approx(float(expected), rel=1e-4)
    weights = [p for n, p in codec.named_parameters() if "synthesis" in n and p.dim() == 4]
    gradients = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        length = sum(float(g.square().sum()) for g in gradients) ** 0.5
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.sub_(0.01 * gradient / length)

    assert judged()[2] > before
