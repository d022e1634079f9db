"""Schedulers beyond the conformance kit: orders, empty channels, weights beside a trunk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from licframe.bitstream import container
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import build, decompress, entropy_models, load_for, load_latent, save
from licframe.codec.target import Target
from licframe.errors import ProfileError, WeightsMismatchError
from licframe.model import latent_coding
from licframe.picture.tensors import tensor_of
from licframe.profile import weights
from licframe.profile.profile import latent_profile, latent_profiles, profile_folder
from licframe.runtime.clock import Clock
from licframe.testing.conformance import picture_of, random_codec
from licframe.training.transfer import transfer_context

AR = [
    f"context_scheduler.{o}"
    for o in ("plugin=autoregressive", "hyper=8", "width=16", "context=16", "hidden=16")
]
SMALL = [
    "channels=48",
    "merged=64",
    "widths=[8, 16, 16]",
    "analysis=[0, 0, 0]",
    "synthesis_widths=[4, 8, 0]",
]
DISTILLED = ["transform.plugin=distilled", *(f"transform.{o}" for o in SMALL)]


@pytest.mark.slow
def test_wavefront_and_raster_give_the_same_symbols() -> None:
    raster = random_codec(latent_profile("tiny", AR))
    wavefront = random_codec(latent_profile("tiny", [*AR, "context_scheduler.order=wavefront"]))
    wavefront.model.load_state_dict(raster.model.state_dict())
    wavefront.model.freeze()
    latent = torch.randn(1, 48, 5, 7, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, two = (latent_coding.encode(c.model, latent, 50, Clock()) for c in (raster, wavefront))

    assert torch.equal(one.y, two.y)
    assert one.information == pytest.approx(two.information)
    assert len(wavefront.model.scheduler.plan(5, 7)) == 1 + 7 + 3 * 4
    assert len(raster.model.scheduler.plan(5, 7)) == 1 + 35


EVERY_SCHEDULER = {
    "msp": [],
    "msp-3": ["context_scheduler.phases=3", "context_scheduler.groups=[8, 20]"],
    "checkerboard": ["context_scheduler.plugin=checkerboard"],
    "hyperprior": ["context_scheduler.plugin=hyperprior"],
    "wavefront": [*AR, "context_scheduler.order=wavefront"],
    "raster": AR,
}


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (80, 112), (16, 48)])
@pytest.mark.parametrize("scheduler", EVERY_SCHEDULER)
def test_all_steps_at_once_are_all_steps_in_order(scheduler: str, size: tuple[int, int]) -> None:
    """Loss equal to 1e-6, gradients to 1e-3, whatever the size of the latent."""
    made = random_codec(latent_profile("tiny", EVERY_SCHEDULER[scheduler]))
    image = tensor_of(picture_of(size[1], size[0])).repeat(2, 1, 1, 1)
    quality = torch.tensor([20.0, 60.0])
    found = []
    for in_order in (True, False):
        gain = made.model.gains(quality)[0]
        torch.manual_seed(1)
        quantise = straight_through if in_order else torch.round
        latent = made.model.transform.analysis(image, quality)
        bits, y = made.model.estimate_latent(latent, gain, quality, quantise, in_order=in_order)
        loss = bits.mean() + y.square().mean()
        made.model.zero_grad()
        loss.backward()
        gradients = {n: p.grad.clone() for n, p in made.model.named_parameters() if p.grad is not None}
        found.append((loss.detach(), gradients))
    (loss, gradients), (again, others) = found
    total = sum(float(g.square().sum()) for g in gradients.values()) ** 0.5

    assert float(again) == pytest.approx(float(loss), rel=1e-6)
    assert total > 0
    for name, gradient in gradients.items():
        difference = float((others[name] - gradient).norm())
        assert difference < 1e-3 * max(float(gradient.norm()), 1e-3 * total), name


def straight_through(x: torch.Tensor) -> torch.Tensor:
    return x + (x.round() - x).detach()


# where torch cannot say whether a CPU has bfloat16, it is not used
@pytest.mark.skipif(not hasattr(torch.cpu, "get_capabilities"), reason="an old torch")
@pytest.mark.parametrize("scheduler", ["msp", "checkerboard", "wavefront"])
def test_a_context_learns_in_bfloat16(scheduler: str) -> None:
    """Weights cast by the pass without gradients are not used by the pass that needs them."""
    made = random_codec(latent_profile("tiny", EVERY_SCHEDULER[scheduler]))
    image, quality = tensor_of(picture_of(64, 64)), torch.tensor([50.0])
    gradients = []
    for bfloat16 in (False, True):
        made.model.zero_grad()
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            bits = made.model.estimate(image, quality).bits.sum()
        bits.backward()
        gradients.append(
            {n: p.grad.clone() for n, p in made.model.scheduler.named_parameters() if p.grad is not None}
        )
    full, short = gradients

    assert full.keys() == short.keys()
    for name, gradient in full.items():
        if gradient.norm() > 1e-3:
            assert float((short[name] - gradient).norm()) < 0.5 * float(gradient.norm()), name


def test_one_entropy_model_serves_every_pass() -> None:
    model = build(latent_profile("tiny", ["context_scheduler.plugin=checkerboard"]))

    assert len(model.entropy_models) == 2
    with pytest.raises(ProfileError, match="names 2"):
        build(latent_profile("checkerboard", ["context_scheduler.plugin=msp"]))
    assert len(latent_profile("checkerboard", ["entropy_model.plugin=laplace"]).entropy_models) == 1


def test_empty_channels_are_left_out(codec: LatentCodec) -> None:
    """A latent with empty channels costs fewer bytes with their flags, and decodes the same."""
    latent = codec.model.analyse(tensor_of(picture_of(200, 160)), 100)
    with torch.no_grad():
        sparse = latent * 0.02
        coded = latent_coding.encode(codec.model, sparse, 30, Clock())
        again = latent_coding.decode(
            codec.model, coded.payload, coded.digest, 30, coded.y.shape[-2:], Clock()
        )
        old = latent_coding.encode(codec.model, latent, 100, Clock())

    assert torch.equal(again, coded.y)
    from licframe.exact.coder import Decoder

    flags = Decoder(coded.payload).code_flags(latent.shape[1])
    assert flags.sum() > 5
    assert not Decoder(old.payload).code_flags(latent.shape[1]).all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the weights of tiny, and beside them another scheduler and a small decoder."""
    trunk = tmp_path / "tiny.safetensors"
    trunk.write_bytes((profile_folder() / "weights" / "tiny.safetensors").read_bytes())
    for name, settings in (("laplace", ["entropy_model.plugin=laplace"]), ("distilled", DISTILLED)):
        profile = latent_profile("tiny", settings)
        made = build(profile)
        weights.load_shared(trunk, made)
        with torch.no_grad():
            for parameter in (
                made.scheduler.parameters()
                if name == "laplace"
                else made.transform.synthesis_blocks.parameters()
            ):
                parameter.add_(0.01 * torch.ones_like(parameter))
        save(made, profile, tmp_path / f"tiny+{name}.safetensors", {"patches": 1}, trunk)
    return tmp_path


def test_weights_of_parts_lie_beside_their_trunk(folder: Path) -> None:
    own = f"weights.file={folder / 'tiny.safetensors'}"
    trunk, other = load_latent("tiny", [own]), load_latent("tiny", ["entropy_model.plugin=laplace", own])
    direct = load_latent(
        "tiny", ["entropy_model.plugin=laplace", f"weights.file={folder / 'tiny+laplace.safetensors'}"]
    )
    size = (folder / "tiny+laplace.safetensors").stat().st_size

    assert trunk.fingerprint != other.fingerprint == direct.fingerprint
    assert torch.equal(
        trunk.model.transform.analysis_linear[0].weight, other.model.transform.analysis_linear[0].weight
    )
    assert not torch.equal(trunk.model.scheduler.base, other.model.scheduler.base)
    assert size < (folder / "tiny.safetensors").stat().st_size
    data = other.encode(picture_of(60, 50), Target(quality=40)).data
    assert other.decode(data).picture.size == (60, 50)
    with pytest.raises(WeightsMismatchError):
        trunk.decode(data)


def test_parts_without_weights_say_how_to_fit_them(folder: Path) -> None:
    own = f"weights.file={folder / 'tiny.safetensors'}"
    with pytest.raises(WeightsMismatchError, match=r"entropy_model.plugin is gllmm .*--fit context"):
        load_latent("tiny", ["entropy_model.plugin=gllmm", own])
    (folder / "tiny.safetensors").unlink()
    with pytest.raises(WeightsMismatchError, match=r"not beside them|belong to other"):
        load_latent(
            "tiny",
            [
                "entropy_model.plugin=laplace",
                "transform.channels=40",
                f"weights.file={folder / 'tiny+laplace.safetensors'}",
            ],
        )


def test_a_distilled_decoder_reads_its_teachers_files(folder: Path) -> None:
    profile = folder / "mine.toml"
    profile.write_text('extends = "tiny"\n[weights]\nfile = "tiny.safetensors"\n')
    teacher = load_latent(profile)
    data = teacher.encode(picture_of(70, 50), Target(quality=50)).data
    student = load_for(container.read_header(data), profile, "distilled").lossy

    assert student.profile.transform.part.name == "distilled"
    assert student.fingerprint == teacher.fingerprint
    one, two = teacher.decompress(data), decompress(data, profile, "distilled")
    assert one.size == two.size
    assert not np.array_equal(np.asarray(one), np.asarray(two))
    with pytest.raises(WeightsMismatchError, match=r'no decoder "magic" .* there is distilled'):
        load_for(container.read_header(data), profile, "magic")


@pytest.mark.parametrize("scheduler", ["msp", "hyperprior", "checkerboard", "autoregressive"])
@torch.no_grad()
def test_a_mixture_starts_where_the_single_density_was(codec: LatentCodec, scheduler: str) -> None:
    """A context trained with one entropy model predicts the same with a mixture in its place, and the way back."""
    settings = {
        "msp": [],
        "hyperprior": ["context_scheduler.plugin=hyperprior"],
        "checkerboard": ["context_scheduler.plugin=checkerboard"],
        "autoregressive": AR,
    }[scheduler]
    single, mixture = (
        latent_profile("tiny", [*settings, f"entropy_model.plugin={model}"])
        for model in ("gaussian", "gaussian-mixture")
    )
    torch.manual_seed(0)
    old, made, back = build(single), build(mixture), build(single)
    for one in (old, made, back):
        weights.load_shared(latent_profile("tiny").weights_path, one)
    if (
        scheduler != "msp"
    ):  # something like trained: every tensor that decides the parameters away from its start
        for name, value in old.scheduler.named_parameters():
            if "own" in name or "last" in name or "output" in name:
                value.add_(torch.randn_like(value), alpha=0.02)
    assert transfer_context(made, old.scheduler.state_dict(), entropy_models(single.structure()))
    assert transfer_context(back, made.scheduler.state_dict(), entropy_models(mixture.structure()))
    latent = codec.model.analyse(tensor_of(picture_of(96, 96)), 50)
    cost = []
    for one in (old, made, back):
        torch.manual_seed(0)
        quality = torch.tensor([50.0])
        cost.append(float(one.estimate_latent(latent, one.gains(quality)[0], quality)[0]))

    assert cost[1] == pytest.approx(cost[0], rel=0.1)
    assert cost[2] == pytest.approx(cost[0], rel=1e-5)
    kept = {k: v.clone() for k, v in made.scheduler.state_dict().items()}
    assert not transfer_context(made, {}, entropy_models(single.structure()))
    assert transfer_context(made, kept, entropy_models(mixture.structure()))
    assert all(torch.equal(v, kept[k]) for k, v in made.scheduler.state_dict().items())


@pytest.mark.parametrize("name", latent_profiles())
def test_shipped_profiles_have_weights(name: str) -> None:
    profile = latent_profile(name)
    found = weights.find(profile.weights_path, profile.structure())

    assert json.dumps(found.record["structure"])
    assert len(found.fingerprint) == 64


@pytest.mark.parametrize("scheduler", ["hyperprior", "checkerboard", "autoregressive"])
@torch.no_grad()
def test_side_information_can_tell_means(scheduler: str) -> None:
    """A latent and its negative have the same scales, and other means."""
    model = build(latent_profile("tiny", [f"context_scheduler.plugin={scheduler}"]))
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(1, model.transform.latent_channels, 8, 8, generator=generator)
    condition = model.units.float_form(model.gain_table[50][None], torch.tensor([50.0]))
    one, two = (model.scheduler.side(y, condition)["z"] for y in (latent, -latent))

    assert not torch.allclose(one, two, atol=1e-3)
