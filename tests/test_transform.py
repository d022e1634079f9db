"""The residual transform starts as the optimal linear codec."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from licframe.model import windows
from licframe.profile.profile import latent_profile
from licframe.registry.discovery import load_class
from licframe.runtime.precision import has_bfloat16
from licframe.testing.exactness import sample_images
from licframe_plugins.residual.components import principal_components

MIDDLE = torch.tensor([50.0])


def make(**options):
    choice = latent_profile(
        "tiny", [f"transform.{k}={str(v).lower()}" for k, v in options.items()]
    ).transform
    return load_class(choice.part)(choice.options)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    pictures = [torch.from_numpy(x[:64, :64]).permute(2, 0, 1) / 255 for x in sample_images(6, 96)]
    return torch.stack(pictures).float()


def test_components_are_orthonormal_and_sorted(images: torch.Tensor) -> None:
    basis, variance = principal_components(images, 4)

    assert torch.allclose(basis @ basis.T, torch.eye(48, dtype=torch.float64), atol=1e-9)
    assert (variance.diff() <= 1e-12).all()


def test_untrained_transform_is_the_projection_on_principal_components(images: torch.Tensor) -> None:
    model = make(channels=40, merged=192)
    model.initialise(images)
    basis, variance = principal_components(images, 16)
    blocks = F.pixel_unshuffle(images - 0.5, 16)
    expected = torch.einsum("kp,nphw->nkhw", basis[:40].float(), blocks)
    with torch.no_grad():
        quality = MIDDLE.expand(len(images))
        latent = model.analysis(images, quality)
        decoded = model.synthesis(latent, quality)

    assert torch.allclose(latent, expected, atol=1e-4)
    assert torch.allclose(model.channel_std(), variance[:40].sqrt().float().clamp_min(1e-3))
    lost = (images - decoded).square().mean() * 768
    assert float(lost) == pytest.approx(float(variance[40:].sum()), rel=0.05)


def test_all_components_reconstruct_perfectly(images: torch.Tensor) -> None:
    model = make(channels=768, merged=192)
    model.initialise(images)
    with torch.no_grad():
        quality = MIDDLE.expand(len(images))
        assert torch.allclose(model.synthesis(model.analysis(images, quality), quality), images, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 16), (33, 50)])
def test_any_size_is_padded_inside(height: int, width: int) -> None:
    model = make()
    with torch.no_grad():
        latent = model.analysis(torch.rand(2, 3, height, width), MIDDLE.expand(2))
        image = model.synthesis(latent, MIDDLE.expand(2))

    assert latent.shape == (2, 48, -(-height // 16), -(-width // 16))
    assert image.shape == (2, 3, latent.shape[2] * 16, latent.shape[3] * 16)


def test_gradients_reach_every_weight() -> None:
    model = make(synthesis=[1, 1, 1], analysis=[1, 1, 1], conditioned=True, conditioned_analysis=True)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.1)
    model.synthesis(model.analysis(torch.rand(1, 3, 32, 32), MIDDLE), MIDDLE).square().sum().backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_features_end_in_the_image() -> None:
    model = make()
    latent = torch.rand(1, 48, 2, 2)
    with torch.no_grad():
        features = model.features(latent, MIDDLE)

        assert torch.equal(features["image"], model.synthesis(latent, MIDDLE))
    assert set(features) == {"1/8", "1/4", "image"}


@pytest.mark.parametrize("side", ["analysis", "synthesis"])
@pytest.mark.parametrize("kind", ["residual", "deformable-residual"])
def test_conditioned_blocks_know_each_quality(kind: str, side: str) -> None:
    """Untrained it changes nothing; trained, each sample of a batch gets what it would get alone."""
    plain, model = (
        make(plugin=kind, synthesis=[1, 1, 1], analysis=[1, 1, 1], conditioned=c, conditioned_analysis=c)
        for c in (False, True)
    )
    model.load_state_dict(plain.state_dict(), strict=False)
    x = torch.rand(3, 3, 32, 32) if side == "analysis" else torch.randn(3, model.latent_channels, 2, 2)
    run, plainly = getattr(model, side), getattr(plain, side)
    quality = torch.tensor([0.0, 43.0, 100.0])
    for p in (p for n, p in model.named_parameters() if n.endswith("last.weight")):
        torch.nn.init.normal_(p, std=0.1)
    plain.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        assert torch.equal(run(x, quality), plainly(x, quality))
        for p in (p for n, p in model.named_parameters() if n.endswith("tone")):
            torch.nn.init.normal_(p, std=0.3)
        together = run(x, quality)
        alone = [run(x[i : i + 1], quality[i : i + 1]) for i in range(3)]
        other = run(x, quality.flip(0))

    assert torch.allclose(together, torch.cat(alone), atol=1e-5)
    assert (together - other)[0].abs().max() > 1e-3
    assert torch.allclose(together[1], other[1], atol=1e-5)


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="no bfloat16 here")
def test_autocast_leaves_the_linear_path_its_digits(images: torch.Tensor) -> None:
    """In bfloat16 throughout, 8 bits of mantissa would show in the picture."""
    model = make(channels=768, merged=192)
    model.initialise(images)
    quality = MIDDLE.expand(len(images))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(model.synthesis(model.analysis(images, quality), quality), images, atol=1e-4)


def test_a_block_that_its_teacher_lacks_begins_anew(images: torch.Tensor) -> None:
    shared = {"channels": 48, "merged": 64, "widths": [8, 16, 0], "analysis": [0, 0, 0]}
    teacher = make(**shared)
    teacher.initialise(images)
    student = make(plugin="distilled", **shared, synthesis_widths=[4, 0, 8])
    student.start_from(teacher)

    assert torch.equal(student.synthesis_blocks[2].std, teacher.synthesis_blocks[2].std)
    assert not student.synthesis_blocks[2].last.weight.any()


SIDES = ["analysis", "synthesis"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("depths", "halo"), [((0, 0, 0), 4), ((1, 0, 0), 4), ((2, 1, 0), 5), ((9, 3, 2), 10), ((3, 2, 0), 6)]
)
def test_a_transform_knows_how_far_it_sees(side: str, depths: tuple[int, ...], halo: int) -> None:
    """The halo is what the layers say, and no more: with one element less something is missing."""
    torch.manual_seed(0)
    model = make(**{side: list(depths)})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.01, 0.02)
    high = 2 * halo + 1
    x = torch.rand(1, 3, 16 * high, 16) if side == "analysis" else torch.rand(1, 48, high, 1)
    x.requires_grad_()
    made = getattr(model, side)(x, MIDDLE)
    middle = made[..., halo, :] if side == "analysis" else made[..., 16 * halo : 16 * halo + 16, :]
    (gradient,) = torch.autograd.grad(middle.sum(), x)
    seen = gradient.abs().sum((0, 1, 3)).reshape(high, -1).sum(1) > 0

    assert getattr(model, f"{side}_halo") == halo
    assert seen.all()


def test_windows_with_too_small_a_halo_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(analysis=[1, 1, 1])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.01, 0.02)
    image = torch.rand(1, 3, 400, 30)
    monkeypatch.setattr(windows, "LARGEST_WHOLE", 0)
    monkeypatch.setattr(windows, "WINDOW", 64)
    whole = model.analysis(image, MIDDLE)
    assert torch.allclose(windows.analysed(model, image, MIDDLE), whole, atol=1e-5)
    monkeypatch.setattr(type(model), "analysis_halo", 1)
    assert not torch.allclose(windows.analysed(model, image, MIDDLE), whole, atol=1e-5)


def test_no_window_is_larger_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the networks are given is bounded, whatever the picture's size."""
    model, given = make(), []
    for name in ("analysis", "synthesis"):
        whole = getattr(model, name)

        def noted(x, quality, whole=whole):
            given.append(max(x.shape[-2:]) * (16 if x.shape[1] == 48 else 1))
            return whole(x, quality)

        monkeypatch.setattr(model, name, noted)
    monkeypatch.setattr(windows, "LARGEST_WHOLE", 64 * 64)
    monkeypatch.setattr(windows, "WINDOW", 64)
    latent = windows.analysed(model, torch.rand(1, 3, 700, 65), MIDDLE)
    windows.synthesised(model, latent, MIDDLE, (slice(0, 700), slice(0, 65)))

    assert max(given) <= 96 + 2 * 16 * model.analysis_halo
    assert len(given) == 2 * 11
