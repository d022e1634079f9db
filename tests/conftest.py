"""Fixtures shared by the tests: the tiny codec and small pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from licframe.codec.latent import LatentCodec
from licframe.codec.loading import build, load_latent
from licframe.model.latent_model import LatentModel
from licframe.picture.images import Picture, from_array
from licframe.profile.profile import latent_profile
from licframe.testing.exactness import sample_images

settings.register_profile(
    "default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("default")
torch.set_num_threads(2)


@pytest.fixture(scope="session")
def codec() -> LatentCodec:
    """The tiny codec with its shipped weights."""
    return load_latent("tiny")


@pytest.fixture
def untrained() -> LatentModel:
    """A tiny model with random context weights, not frozen."""
    torch.manual_seed(0)
    made = build(latent_profile("tiny"))
    for parameter in made.scheduler.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return made


@pytest.fixture(scope="session")
def picture() -> Picture:
    return from_array(sample_images(1, 120, seed=3)[0])


def noise_picture(width: int, height: int, seed: int = 0, grey: bool = False) -> Picture:
    """A smooth gradient with noise, any size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    shape = (height, width) if grey else (height, width, 3)
    base = (128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 7)).reshape(height, width, *([] if grey else [1]))
    return from_array((base + rng.normal(0, 12, shape)).clip(0, 255).astype(np.uint8))
