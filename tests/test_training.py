"""Training: it learns, it resumes, it decays a copy, it is repeatable, it does not swallow NaN, it prints nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from licframe.codec.loading import build, load_latent
from licframe.errors import LicframeError, WeightsMismatchError
from licframe.evaluation import metrics
from licframe.model.distortions import similarity
from licframe.model.gains import lambda_of
from licframe.model.latent_model import LatentModel
from licframe.profile.profile import latent_profile
from licframe.profile.weights import load_shared, read_metadata
from licframe.runtime.precision import has_bfloat16
from licframe.testing.exactness import sample_images
from licframe.training import (
    DISTORTIONS,
    Hardware,
    HeldOut,
    LogLine,
    Objective,
    Optimiser,
    Photographs,
    RateDistortion,
    Schedule,
    Settings,
    Trainer,
    add_noise,
    distill,
    hardware,
    l1_term,
    squared_error,
    train,
)
from licframe.training.checkpoint import Checkpoint
from licframe.training.distillation import DecodedPatches, Distillation
from licframe.training.loop import Tally
from licframe.training.pictures import PictureFile, find_pictures, split

pytestmark = pytest.mark.slow

CPU = Hardware(torch.device("cpu"))
BFLOAT16 = has_bfloat16(torch.device("cpu"))
SMALL = ("channels=48", "merged=64", "widths=[8,16,16]", "analysis=[0,0,0]", "synthesis_widths=[8,8,0]")
DISTILLED = ["transform.plugin=distilled", *(f"transform.{option}" for option in SMALL)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("photographs")
    for k, pixels in enumerate(sample_images(4, 220, seed=5)):
        Image.fromarray(pixels).save(made / f"{k}.png")
    return made


@pytest.fixture(scope="module")
def photographs(folder: Path) -> Photographs:
    return Photographs([folder])


class Heard:
    """A callback that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.remarks: list[str] = []

    def line(self, line: LogLine) -> None:
        self.lines.append(line)

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def schedule(steps: int, **fields: object) -> Schedule:
    return Schedule(**{"steps": steps, "batch": 2, "patch": 64, "warmup": 5, **fields})


def trainer(source: Photographs, place: Path | None, steps: int, **more: object) -> Trainer:
    torch.manual_seed(0)
    codec = build(latent_profile("tiny"))
    codec.initialise(source.patches(64, 64))
    settings = Settings(log_every=5)
    return Trainer(
        codec, source, RateDistortion(codec), schedule(steps), CPU, folder=place, settings=settings, **more
    )


def test_training_lowers_the_loss_and_tells_it(photographs: Photographs, tmp_path: Path) -> None:
    heard = Heard()
    made = trainer(photographs, tmp_path, 60, callbacks=[heard])
    made.run()

    assert [line.step for line in heard.lines] == [*range(5, 61, 5), 60]
    first, last = (np.mean([e.loss for e in heard.lines[part]]) for part in (slice(0, 3), slice(-4, None)))
    assert last < first
    assert len(heard.lines[0].psnr_by_quality) == 4
    assert heard.lines == made.lines


def test_a_run_is_a_call_that_prints_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It leaves weights that code, the state before the decay, a log, and the caller's random numbers."""
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    run = train("tiny", [folder], folder=tmp_path, schedule=schedule(8), hardware=CPU)
    said = read_metadata(run.weights)
    picture = Image.open(folder / "0.png")
    codec = run.load()
    decoded = codec.decompress(codec.compress(picture, quality=50))

    assert capsys.readouterr() == ("", "")
    assert torch.rand(1) == expected
    assert decoded.size == picture.size
    assert said["fingerprint"] == run.fingerprint
    assert said["training"]["patches"] == run.patches == 16
    assert read_metadata(run.undecayed)["training"]["patches"] < 16
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert log[-1]["patches"] == 16
    assert "| patches | 16 in this run, 16 in all |" in (tmp_path / "summary.md").read_text()
    assert run.lines[-1].patches == 16


def test_same_seed_same_weights(folder: Path, tmp_path: Path) -> None:
    runs = [
        train("tiny", [folder], folder=tmp_path / name, schedule=schedule(4), hardware=CPU, seed=seed)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]

    assert runs[0].fingerprint == runs[1].fingerprint != runs[2].fingerprint


def test_resume_goes_on_from_before_the_decay(photographs: Photographs, tmp_path: Path) -> None:
    first = trainer(photographs, tmp_path, 10)
    first.run()
    assert first.undecayed is not None
    assert first.undecayed.patches == 14  # the last three of ten steps are the decay
    second = trainer(photographs, tmp_path, 10)
    second.resume()
    assert second.patches == 14
    state = second.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in first.undecayed.model.items())
    saved = {n: {k: v.clone() for k, v in s.items()} for n, s in second.optimisers.state().items()}
    written = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["moments"]
    assert saved.keys() == written.keys()
    assert all(torch.equal(saved[n][k], written[n][k]) for n in saved for k in saved[n])
    averages = {n: v.clone() for n, v in second.average.values.items()}
    assert all(torch.equal(averages[n], v) for n, v in first.undecayed.average.items())
    second.average.update(0)
    for name, value in second.average.values.items():  # an old average is not forgotten at once
        moved = float((value - averages[name]).norm())
        assert moved <= 0.005 * float((second.average.live[name].detach() - averages[name]).norm()) + 1e-6
    second.run()

    assert second.patches == 34
    assert second.minutes > first.undecayed.minutes


def test_a_copy_decays_and_the_state_stays(folder: Path, tmp_path: Path) -> None:
    """As often as one likes, always from the same; the end of a decay hardly moves."""
    arguments = {"folder": tmp_path, "hardware": CPU}
    train("tiny", [folder], schedule=schedule(8, decay=0.0), **arguments)
    written = (tmp_path / "checkpoint.pt").stat().st_mtime_ns
    before = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    ends = [
        train("tiny", [folder], schedule=schedule(6, decay=1.0), resume=True, **arguments) for _ in range(2)
    ]
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)

    assert (tmp_path / "checkpoint.pt").stat().st_mtime_ns == written
    assert before["patches"] == after["patches"] == 16
    assert all(torch.equal(before["model"][name], value) for name, value in after["model"].items())
    assert ends[0].fingerprint == ends[1].fingerprint
    assert ends[0].patches == 28


def test_moments_may_be_left_out(photographs: Photographs, tmp_path: Path) -> None:
    made = trainer(photographs, tmp_path, 4)
    made.settings = Settings(moments=False)
    made.run()
    again = trainer(photographs, tmp_path, 4)
    again.resume()

    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["moments"] == {}
    again.take(0, 0.0)
    alone = float(again.optimisers._rates[0][1])
    made.settings = Settings()
    made.run()
    with_moments = trainer(photographs, tmp_path, 40)
    with_moments.resume()
    with_moments.take(0, 0.0)
    assert alone < float(with_moments.optimisers._rates[0][1])  # whose warm-up is a quarter as long


def test_checkpoints_of_the_first_version_are_read(photographs: Photographs, tmp_path: Path) -> None:
    """They number the moments, by kind of parameter: each finds its own."""
    made = trainer(photographs, tmp_path, 4)
    made.run()
    assert made.undecayed is not None
    moments, named = made.optimisers.state(), made.optimisers.parameters
    kinds = ("matrix", "linear", "output", "bias", "scale")

    def kind(name: str) -> str:
        return getattr(named[name], "licframe_kind", "matrix" if named[name].dim() == 4 else "bias")

    ordered = [[n for n, _ in made.model.named_parameters() if kind(n) == k] for k in kinds]
    numbered = [ordered[0], [n for some in ordered[1:] for n in some]]
    old = {
        "model": made.undecayed.model,
        "average": made.undecayed.average,
        "optimisers": [
            {"state": {k: moments[n] for k, n in enumerate(some)}, "param_groups": []} for some in numbered
        ],
        "patches": 8,
        "minutes": 1.0,
        "also": {},
    }
    torch.save(old, tmp_path / "checkpoint.pt")
    again = trainer(photographs, tmp_path, 4)
    again.resume()
    found = again.optimisers.state()

    assert again.patches == 8
    assert all(torch.equal(found[n][k], v) for n in moments for k, v in moments[n].items())


@pytest.mark.parametrize("version", [1, 2])
def test_old_names_in_checkpoints_are_read(tmp_path: Path, version: int) -> None:
    """What is trained beside the model was called "also" before version 3."""
    one, names = torch.ones(1), ("scheduler.base", "also.weight", "transform.also.bias")
    average = dict.fromkeys(names, one)
    old = {"model": {"scheduler.base": one}, "average": average, "patches": 3, "minutes": 0.5}
    if version == 1:
        old |= {"also": {"weight": one}, "optimisers": []}
    else:
        moments = {name: {"momentum": one} for name in names}
        old |= {
            "version": 2,
            "auxiliary": {"weight": one},
            "moments": moments,
            "of": {"profile": "x", "trunk": "y"},
        }
    torch.save(old, tmp_path / "a.pt")
    found = Checkpoint.read(tmp_path / "a.pt", {})
    found.write(tmp_path / "b.pt")
    again = Checkpoint.read(tmp_path / "b.pt", {})

    for state in (found, again):
        assert list(state.average) == ["scheduler.base", "auxiliary.weight", "transform.also.bias"]
        assert list(state.moments) == ([] if version == 1 else list(state.average))
        assert state.auxiliary == {"weight": one}
        assert state.of == ({} if version == 1 else {"profile": "x", "base": "y"})


def test_resume_from_nothing_or_damage_is_named(photographs: Photographs, tmp_path: Path) -> None:
    made = trainer(photographs, tmp_path, 1)
    with pytest.raises(LicframeError, match="nothing to resume"):
        made.resume()
    made.checkpoint.write_bytes(b"damage")
    with pytest.raises(LicframeError, match="cannot resume"):
        made.resume()
    Checkpoint({"other": torch.zeros(1)}, {}, {}, 0, 0.0).write(made.checkpoint)
    with pytest.raises(LicframeError, match="another profile") as caught:
        made.resume()
    assert "\n" not in str(caught.value)


def test_a_run_keeps_what_it_did_not_make(folder: Path, tmp_path: Path) -> None:
    """Another run's folder, what it begins from, and a checkpoint of something else."""
    arguments = {"hardware": CPU, "schedule": schedule(2)}
    run = train("tiny", [folder], folder=tmp_path, **arguments)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.*")}
    gaussian, laplace = (
        latent_profile("tiny", [f"entropy_model.plugin={m}"]) for m in ("gaussian", "laplace")
    )
    for message, more in {
        "holds a run": {},
        "another fit": {"fit": "context", "resume": True, "start": latent_profile("tiny").weights_path},
        "new run": {"resume": True, "start": run.weights},
        "would overwrite": {"fit": "context", "start": run.undecayed, "overwrite": True},
        "patch=512": {"fit": "context", "schedule": schedule(2, crop=96, crop_share=1.0)},
    }.items():
        with pytest.raises(LicframeError, match=message):
            train(gaussian, [folder], folder=tmp_path, **{**arguments, **more})
    with pytest.raises(LicframeError, match="another profile"):
        train(laplace, [folder], folder=tmp_path, resume=True, **arguments)

    assert {path: path.stat().st_mtime_ns for path in files} == files
    train("tiny", [folder], folder=tmp_path, overwrite=True, **arguments)


@pytest.mark.parametrize(("count", "least"), [(7, 0), (8, 1), (15, 1), (19, 1)])
def test_of_few_pictures_one_is_held_out(count: int, least: int) -> None:
    files = [PictureFile(f"{number}.png", b"") for number in range(100) if number != 0]
    files = [file for file in files if not file.held_out][:count]
    kept, held = split(files)

    assert len(held) == least
    assert sorted([*kept, *held], key=files.index) == files
    nearer = [*files, *(PictureFile(f"{Path(file.name).stem}__zoom.png", b"") for file in held)]
    assert len(split(nearer)[1]) == 2 * least, "a nearer view of a picture is held out with it"


def test_held_out_pictures_are_not_trained_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(60):
        pixels = rng.integers(0, 256, (66, 66, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    kept, held = split(find_pictures([tmp_path / "pictures"]))
    heard = Heard()
    run = train(
        "tiny",
        tmp_path / "pictures",
        folder=tmp_path / "run",
        schedule=schedule(2),
        hardware=CPU,
        callbacks=[heard],
    )
    listed = {line.split("  ")[1] for line in (run.folder / "data.sha256").read_text().splitlines()}

    assert held
    assert listed == {file.name for file in kept}
    assert f"{len(held)} held out" in heard.remarks[0]
    assert run.lines[-1].held_out is not None


def test_a_source_of_ones_own(tmp_path: Path) -> None:
    class Noise:
        def __init__(self, bad: str = "") -> None:
            self.bad = bad

        def batch(self, count: int, size: int) -> tuple[torch.Tensor, ...]:
            image, quality = torch.rand(count, 3, size, size), torch.rand(count) * 100
            if self.bad == "size" and size != 64:
                raise ValueError("only 64")
            return (
                (image,) if self.bad == "alone" else (image, quality * (20 if self.bad == "quality" else 1))
            )

    arguments = {"hardware": CPU, "schedule": schedule(2, crop=96, crop_share=0.5)}
    run = train("tiny", Noise(), folder=tmp_path, **arguments)
    assert run.lines[-1].held_out is None
    torch.manual_seed(0)
    for bad, message in (("alone", "qualities"), ("quality", "-28..100"), ("size", "only 64")):
        with pytest.raises(LicframeError, match=message):
            train("tiny", Noise(bad), folder=tmp_path, overwrite=True, **arguments)


def test_nan_stops_the_run_with_the_batch_saved(photographs: Photographs, tmp_path: Path) -> None:
    heard = Heard()
    made = trainer(photographs, tmp_path, 10, callbacks=[heard])
    before = made.model.gains.log2_inverse.detach().clone()
    torch.nn.init.constant_(made.model.gains.log2_gain, float("nan"))

    with pytest.raises(LicframeError, match="diverged"):
        made.run()
    (bad,) = torch.load(tmp_path / "bad_batch.pt", weights_only=True)
    assert bad[0].shape == (2, 3, 64, 64)
    assert bad[0].std() > 0
    assert torch.equal(made.model.gains.log2_inverse, before)
    assert len(heard.remarks) == 5
    assert "rates halved" in heard.remarks[0]


def test_an_interrupt_ends_the_run_orderly(photographs: Photographs, tmp_path: Path) -> None:
    class Impatient(Heard):
        def line(self, line: LogLine) -> None:
            super().line(line)
            if line.step == 10:
                raise KeyboardInterrupt

    heard = Impatient()
    made = trainer(photographs, tmp_path, 1000, callbacks=[heard])
    with pytest.raises(KeyboardInterrupt):  # the last line is another chance to be impatient
        made.run()
    made = trainer(photographs, tmp_path, 1000, callbacks=[heard])
    made.resume()

    assert made.patches == 20
    assert "interrupted" in heard.remarks[0]


def test_the_better_of_last_and_averaged_weights_is_left(photographs: Photographs) -> None:
    """As what is held out says; where nothing is, the average."""
    held_out = HeldOut(photographs, 8, 64)
    made = trainer(photographs, None, 12, held_out=held_out)
    made.run()
    end = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    chosen = made.measure()
    made.average.swap()
    other = made.measure()
    alone = trainer(photographs, None, 12)
    alone.run()

    assert chosen is not None
    assert other is not None
    assert chosen <= other
    assert made.lines[-1].held_out == pytest.approx(chosen)
    averages = {True: made.average.values, False: dict(made.model.named_parameters())}
    assert any(all(torch.equal(end[n], v) for n, v in values.items()) for values in averages.values())
    alone.average.swap()
    last = dict(alone.model.named_parameters())
    assert any(not torch.equal(last[n], v) for n, v in alone.average.values.items())


def test_a_schedule_warms_up_holds_and_decays_to_zero() -> None:
    made = Schedule(warmup=100, rate=2.0)

    assert made.factor(0, 0.0) == pytest.approx(0.02)
    assert made.factor(0, 0.0, restored=True) == pytest.approx(0.08)
    assert made.factor(500, 0.69) == 2.0
    assert made.factor(500, 0.85) == pytest.approx(1.0)
    assert made.factor(500, 1.0) == pytest.approx(0.0)
    assert Schedule(decay=0.0).factor(500, 0.999) == 1.0
    assert Schedule(decay=1.0, warmup=1).factor(5, 0.25) == pytest.approx(0.75)
    crops = Schedule(batch=16, crop=512, crop_share=0.25)
    assert [crops.shape(p) for p in (0.0, 0.74, 0.76)] == [(16, 256), (16, 256), (4, 512)]
    assert (crops.largest, Schedule().largest) == (512, 256)
    with pytest.raises(ValueError, match="decay"):
        Schedule(decay=1.5)
    assert Schedule.of("tiny", minutes=5) == Schedule(minutes=5, batch=8, patch=128, rate=1.0)


def test_rates_halved_for_a_bad_step_come_back(photographs: Photographs) -> None:
    made = trainer(photographs, None, 40)
    good = made.source

    class OnceBad:
        calls = 0

        def batch(self, count: int, size: int) -> tuple[torch.Tensor, ...]:
            self.calls += 1
            image, quality = good.batch(count, size)
            return image * (float("nan") if self.calls % 6 == 0 else 1.0), quality

    made.source = OnceBad()
    made.run()

    assert made.lines[-1].skipped == 6
    assert made._halvings <= 2


def test_tally_groups_by_quality_and_leaves_out() -> None:
    tally = Tally(torch.device("cpu"))
    one = torch.tensor(1.0)
    tally.add(torch.tensor([10.0, 90.0]), torch.tensor([[1.0, 3.0], [0.5, 1.5], [0.01, 0.0001]]), one)
    tally.add(torch.tensor([10.0]), torch.full((3, 1), float("nan")), 0 * one)
    figures = tally.figures()

    assert figures["loss"] == 2.0
    assert figures["bpp"] == 1.0
    assert figures["psnr_by_quality"] == (pytest.approx(20.0), None, None, pytest.approx(40.0, abs=1e-3))


# -- objectives -----------------------------------------------------------------------------------


def test_what_scripts_would_replace_are_arguments(folder: Path, tmp_path: Path) -> None:
    """Optimiser, rounding, weights of samples, and an objective of one's own."""

    class Constant(Objective):
        def __init__(self, codec: LatentModel) -> None:
            super().__init__()
            self.codec = codec

        def forward(self, *batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            loss = self.codec.gains.log2_gain.square().mean() * torch.ones(len(batch[1]))
            return loss.mean(), torch.stack([loss, loss, loss]).detach()

    made = {}
    for name, more in {
        "plain": {},
        "adam": {"optimiser": Optimiser(matrices=None)},
        "sgd": {"optimiser": Optimiser(matrices=lambda params, rate: torch.optim.SGD(params, lr=rate))},
        "noise": {"objective": lambda codec, _: RateDistortion(codec, quantise=add_noise)},
        "weighted": {"objective": lambda codec, _: RateDistortion(codec, weight=torch.ones_like)},
        "own": {"objective": lambda codec, _: Constant(codec)},
    }.items():
        arguments = {"folder": tmp_path / name, "schedule": schedule(4), "hardware": CPU}
        made[name] = train("tiny", [folder], **arguments, **more)

    assert len({run.fingerprint for run in made.values()}) == 6
    gains = [made[name].load().model.gains.log2_gain.abs().mean() for name in ("own", "plain")]
    assert gains[0] < gains[1]


def test_noise_and_weights_do_what_they_say(untrained: LatentModel) -> None:
    image, quality = torch.rand(2, 3, 64, 64), torch.tensor([10.0, 90.0])
    found = {}
    for name, more in {
        "even": {},
        "plain": {"weight": torch.ones_like},
        "noise": {"quantise": add_noise},
    }.items():
        torch.manual_seed(0)
        found[name] = RateDistortion(untrained, **more)(image, quality)[1]
    factor = (lambda_of(quality) / 0.013).rsqrt()

    assert torch.allclose(found["even"][0], found["plain"][0] * factor)
    assert torch.equal(found["even"][1:], found["plain"][1:])
    assert not torch.allclose(found["noise"][2], found["plain"][2])


def test_evaluation_needs_no_random_numbers(untrained: LatentModel) -> None:
    image, quality = torch.rand(2, 3, 64, 64), torch.tensor([10.0, 90.0])
    objective = RateDistortion(untrained)
    noisy = [objective(image, quality)[0] for _ in range(2)]
    objective.eval()
    still = [objective(image, quality)[0] for _ in range(2)]
    noise = RateDistortion(untrained, quantise=add_noise).eval()
    still.append(noise(image, quality)[0])

    assert noisy[0] != noisy[1]
    assert still[0] == still[1] == still[2]


def test_the_l1_term_is_of_quantisation_steps(untrained: LatentModel) -> None:
    """It grows with the gain, and its gradient does not shrink gains."""
    image, quality = torch.rand(2, 3, 64, 64), torch.tensor([10.0, 90.0])
    losses = []
    for terms in ((), (l1_term(1.0),)):
        torch.manual_seed(0)
        losses.append(RateDistortion(untrained, terms=terms)(image, quality)[0])
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
    model = load_latent("tiny").model
    model.requires_grad_(True)
    picture = sample_images(1, 192, seed=2)[0][:192, :192]
    image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
    quality = torch.tensor([29.0])

    def judged() -> tuple[torch.Tensor, float, float]:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            torch.manual_seed(1)
            loss, detail = RateDistortion(model, DISTORTIONS["ms-ssim"])(image, quality)
            torch.manual_seed(1)
            decoded = model.estimate(image, quality).image.detach()
        return loss, float(detail[1]), float(similarity(decoded, image))

    loss, bpp, before = judged()
    lam = lambda_of(quality)
    expected = (bpp + lam * 1280 * (1 - before)) / (lam / 0.013).sqrt()
    assert loss.item() == pytest.approx(float(expected), rel=1e-4)
    weights = [p for n, p in model.named_parameters() if "synthesis" in n and p.dim() == 4]
    gradients = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        length = sum(float(g.square().sum()) for g in gradients) ** 0.5
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.sub_(0.01 * gradient / length)

    assert judged()[2] > before


# -- decoders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [3, 1])
def test_distillation_teaches_a_small_synthesis_and_nothing_else(
    photographs: Photographs, ends: int
) -> None:
    options = [*DISTILLED, f"transform.synthesis_ends={ends}"]
    teacher = load_latent("tiny").model
    student = build(latent_profile("tiny", options))
    load_shared(latent_profile("tiny").weights_path, student)
    student.transform.start_from(teacher.transform)
    torch.manual_seed(0)
    decoded = DecodedPatches(teacher, photographs, 12, 64, CPU)
    image, latent, picture, bits, quality = decoded.batch(12, 64)
    before = {k: v.clone() for k, v in student.state_dict().items()}
    stranger = build(latent_profile("tiny", [*options, "transform.merged=96"]))
    with pytest.raises(WeightsMismatchError, match="give the student"):
        stranger.transform.start_from(teacher.transform)

    def error() -> float:
        with torch.no_grad():
            return float((student.transform.synthesis(latent, quality) - image).square().mean())

    start = error()
    Trainer(student, decoded, Distillation(student, teacher), schedule(40, batch=4), CPU).run()

    assert bits.shape == quality.shape == (12,)
    with torch.no_grad():
        known = teacher.transform.synthesis(latent, quality)
    assert float((picture - known).abs().max()) < 1e-3
    assert error() < 0.97 * start
    changed = {k for k, v in student.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all("transform.synthesis" in name for name in changed)


def test_distilling_is_a_call(folder: Path, tmp_path: Path) -> None:
    profile = latent_profile("tiny", DISTILLED)
    arguments = {"teacher": "tiny", "schedule": schedule(6), "hardware": CPU, "patches": 8}
    run = distill(profile, [folder], folder=tmp_path / "one", **arguments)
    again = distill(profile, [folder], folder=tmp_path / "two", start=run.weights, **arguments)

    assert {name.split(".")[1].split("_")[0] for name in load_file(run.weights)} == {"synthesis"}
    assert run.patches == again.patches == 12
    assert run.fingerprint != again.fingerprint
    with pytest.raises(LicframeError, match="another decoder"):
        distill(
            profile,
            [folder],
            folder=tmp_path / "three",
            start=latent_profile("fast").weights_path,
            **arguments,
        )


def test_a_synthesis_learns_along(photographs: Photographs, tmp_path: Path) -> None:
    """A run without it can be gone on with, and the analysis hears of it."""
    trainer(photographs, tmp_path, 4).run()
    student = build(latent_profile("tiny", DISTILLED)).transform

    def going_on() -> Trainer:
        codec = build(latent_profile("tiny"))
        objective = RateDistortion(codec, auxiliary=student)
        made = Trainer(codec, photographs, objective, schedule(8), CPU, folder=tmp_path)
        made.resume()
        return made

    along = going_on()
    before = {k: v.clone() for k, v in student.state_dict().items()}
    image, quality = torch.rand(1, 3, 64, 64), torch.tensor([50.0])
    found = []
    for other in (None, along.model.transform, student):
        torch.manual_seed(0)
        loss = RateDistortion(along.model, auxiliary=other)(image, quality)[0]
        found.append(torch.autograd.grad(loss, along.model.transform.analysis_linear[0].weight)[0])
    assert torch.allclose(found[1], found[0], rtol=1e-3)  # the same twice is the same
    assert not torch.allclose(found[2], found[0], rtol=1e-3)
    along.run()

    after = student.state_dict()
    assert any(not torch.equal(after[k], v) for k, v in before.items())
    saved = torch.load(along.checkpoint, weights_only=True)
    assert saved["auxiliary"].keys() == before.keys()
    assert {
        "auxiliary.synthesis_blocks.0.first.weight",
        "transform.synthesis_blocks.0.first.weight",
    } <= saved["average"].keys()
    student.load_state_dict(before)
    going_on()
    assert all(torch.equal(v, saved["auxiliary"][k]) for k, v in student.state_dict().items())


def test_features_that_differ_in_number_are_matched_by_what_learns(
    photographs: Photographs, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, student = load_latent("tiny").model, load_latent("tiny").model
    whole = student.transform.features

    def fewer(latent: torch.Tensor, quality: torch.Tensor) -> dict[str, torch.Tensor]:
        found = whole(latent, quality)
        return found | {"1/8": found["1/8"][:, ::2]}

    monkeypatch.setattr(student.transform, "features", fewer)
    objective = Distillation(student, teacher)
    assert objective.auxiliary is not None
    before = {k: v.clone() for k, v in objective.auxiliary.state_dict().items()}
    decoded = DecodedPatches(teacher, photographs, 8, 64, CPU)
    assert objective.advance(0.0) != objective.advance(1.0)
    loss = objective(*decoded.batch(8, 64))[1][0]
    assert torch.allclose(loss, torch.ones(8), atol=1e-3)  # of the teacher's own error, at any quality
    Trainer(student, decoded, objective, schedule(20, batch=4), CPU).run()

    after = objective.auxiliary.state_dict()
    assert before
    assert all(not torch.equal(after[k], v) for k, v in before.items())


# -- hardware -------------------------------------------------------------------------------------


def test_the_precision_is_that_of_the_hardware_or_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for has in (False, True):
        monkeypatch.setattr(hardware, "has_bfloat16", lambda device, has=has: has)
        assert hardware.hardware_on("cpu").bfloat16 == has
    assert not hardware.hardware_on("cpu", "32-true").bfloat16
    assert hardware.hardware_on("cpu", "bf16-mixed").bfloat16
    with hardware.hardware_on("cpu", "bf16-mixed").autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize("wrong", [("cpu", "fp8"), ("abacus", "auto")])
def test_unknown_hardware_is_named(wrong: tuple[str, str]) -> None:
    with pytest.raises(LicframeError, match=r"expected auto|expected"):
        hardware.hardware_on(*wrong)


def test_settings_of_a_device_are_put_back() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    with CPU.settings():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.benchmark
    assert before == (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fit": "everything"}, "expected all, context, transform"),
        ({"context": Path("x")}, "for --fit context"),
        ({"fit": "context", "joint_decoder": "fast"}, "leave out --fit"),
    ],
)
def test_what_does_not_go_together_is_refused(
    folder: Path, tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(LicframeError, match=message):
        train("tiny", [folder], folder=tmp_path, **arguments)


def test_squared_error_is_in_levels() -> None:
    image = torch.zeros(2, 3, 8, 8)
    assert torch.allclose(squared_error(image + 1 / 255, image), torch.ones(2), atol=1e-5)
