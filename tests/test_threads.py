"""Many at once: threads share a codec, and nothing global changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.picture.images import Picture, from_array
from licframe.testing.exactness import sample_images

pytestmark = pytest.mark.slow


def compressed(codec: LatentCodec, picture: Picture) -> tuple[bytes, bytes]:
    data = codec.encode(picture, Target(quality=60)).data
    return data, codec.decode(data).picture.pixels.tobytes()


def test_eight_threads_make_the_bytes_of_one(codec: LatentCodec) -> None:
    pictures = [from_array(image) for image in sample_images(8, 90, seed=5)]
    alone = [compressed(codec, picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(compressed, [codec] * 24, pictures * 3))

    for (data, pixels), (other, others) in zip(alone * 3, together, strict=True):
        assert data == other
        a, b = (np.frombuffer(p, np.uint8).astype(int) for p in (pixels, others))
        assert np.abs(a - b).max() <= 1


def test_threads_that_search(picture: Picture) -> None:
    """A refiner takes gradients; those of one thread are no business of another."""
    codec = load_latent("tiny", ["refiner.plugin=lof", "refiner.seconds=0", "refiner.steps=4"])
    alone = codec.encode(picture, Target(quality=50)).data
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: codec.encode(p, Target(quality=50)).data, [picture] * 4))

    assert {len(data) for data in together} == {len(alone)}
    assert all(parameter.grad is None for parameter in codec.model.parameters())


def test_no_global_setting_of_torch_changes(picture: Picture) -> None:
    def settings() -> tuple[object, ...]:
        return (
            torch.get_num_threads(),
            torch.get_num_interop_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.mkldnn.enabled,
            torch.get_float32_matmul_precision(),
            torch.initial_seed(),
        )

    torch.manual_seed(1234)
    before, state = settings(), torch.get_rng_state()
    codec = load_latent("tiny")
    compressed(codec, picture)

    assert settings() == before
    assert torch.equal(torch.get_rng_state(), state)
