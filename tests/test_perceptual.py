"""What the eye sees of an error, as a distortion."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from licframe.model.distortions import DISTORTIONS, squared_error, visual
from licframe.model.perceptual import SMALLEST, visible_error
from licframe.picture.error import ssimulacra2
from licframe.profile.profile import SMALLEST_PATCH
from licframe.testing.exactness import sample_images


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def distorted(pixels: np.ndarray) -> list[np.ndarray]:
    """Return JPEGs, blurs, noises and a cast of a picture."""
    image, rng = Image.fromarray(pixels), np.random.default_rng(0)
    found = []
    for quality in (10, 30, 60, 90):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        found.append(np.asarray(Image.open(file)))
    found += [np.asarray(image.filter(ImageFilter.GaussianBlur(r))) for r in (0.5, 1, 2)]
    found += [(pixels + rng.normal(0, s, pixels.shape)).clip(0, 255).astype(np.uint8) for s in (2, 5, 12)]
    found.append((pixels + np.array([6, 0, -6])).clip(0, 255).astype(np.uint8))
    return found


@pytest.mark.slow
def test_it_ranks_distortions_as_the_metric_does() -> None:
    """Of kinds that its weights were not fitted to, too: correlation of ranks, over all pictures."""
    pairs = [(p[:192, :192], d) for p in sample_images(2, 192, seed=4) for d in distorted(p[:192, :192])]
    scores = np.array([ssimulacra2(p, d) for p, d in pairs])
    seen = np.array([float(visible_error(tensor(d), tensor(p))) for p, d in pairs])
    ranks = [np.argsort(np.argsort(values)) for values in (-scores, seen)]

    assert np.corrcoef(*ranks)[0, 1] > 0.9


def test_equal_pictures_differ_by_nothing_and_slopes_are_finite() -> None:
    image = tensor(sample_images(1, SMALLEST, seed=5)[0][:SMALLEST, :SMALLEST])
    shown = image.clone().requires_grad_()
    visible_error(shown, image).sum().backward()

    assert float(visible_error(image, image)) == pytest.approx(0, abs=1e-4)
    assert shown.grad is not None
    assert torch.isfinite(shown.grad).all()


def test_its_slope_is_that_of_its_values() -> None:
    torch.manual_seed(0)
    image = tensor(sample_images(1, SMALLEST, seed=5)[0][:SMALLEST, :SMALLEST])
    shown = (image + 0.03 * torch.randn_like(image)).clamp(0.05, 0.95).requires_grad_()
    found = visible_error(shown, image)
    (slope,) = torch.autograd.grad(found.sum(), shown)
    direction = slope / slope.abs().max()
    with torch.no_grad():
        ahead, behind = (visible_error(shown + s * 2e-3 * direction, image) for s in (1, -1))

    assert float((slope * direction).sum()) == pytest.approx(float((ahead - behind) / 4e-3), rel=0.02)


def test_one_picture_of_a_batch_does_not_see_the_others() -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, SMALLEST, SMALLEST + 32)
    shown = (images + 0.05 * torch.randn_like(images)).clamp(0, 1)
    alone = torch.cat([visible_error(s[None], i[None]) for s, i in zip(shown, images, strict=True)])

    assert torch.allclose(visible_error(shown, images), alone, rtol=1e-4)


def test_a_colour_cast_costs_its_squared_error_at_least() -> None:
    image = torch.full((1, 3, SMALLEST, SMALLEST), 0.5)
    cast = image + torch.tensor([0.02, 0.0, -0.02])[:, None, None]

    assert float(visual(cast, image)) > 0.25 * float(squared_error(cast, image))


@pytest.mark.parametrize("name", sorted(DISTORTIONS))
def test_a_distortion_takes_pictures_of_its_smallest_size(name: str) -> None:
    side = SMALLEST_PATCH[name]
    image = torch.rand(1, 3, side, side + 16)

    assert float(DISTORTIONS[name](image, image)) == pytest.approx(0, abs=1e-3)
