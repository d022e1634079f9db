"""Metrics of 8-bit pictures."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from licframe.evaluation.metrics import decibel, measured, ms_ssim, psnr, ssimulacra2
from licframe.picture.error import error_map, psnr_of
from licframe.testing.exactness import sample_images

pytestmark = pytest.mark.slow


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(file))


def test_psnr_of_one_level_everywhere() -> None:
    a = np.full((8, 8, 3), 100, np.uint8)

    assert psnr(a, a + 1) == pytest.approx(20 * math.log10(255))
    assert psnr(a, a) == math.inf
    assert psnr(a + 1, a) == psnr(a, a + 1)  # no wrapping below zero
    assert psnr(a.astype(np.uint16), a + 1) == pytest.approx(20 * math.log10(65535))
    assert psnr(a / 255, (a + 1) / 255, peak=1.0) == pytest.approx(20 * math.log10(255))
    assert psnr_of(0.01) == pytest.approx(20)
    assert psnr_of(0.0) == math.inf


def test_an_error_map_is_grey_where_nothing_differs() -> None:
    original = np.array([[100, 100, 100, 0, 255]], np.uint8)
    decoded = np.array([[100, 101, 98, 255, 0]], np.uint8)

    assert error_map(original, decoded).tolist() == [[128, 136, 112, 255, 0]]


def test_ms_ssim_falls_with_noise_and_needs_room() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 200, (176, 176, 3)).astype(np.uint8)
    noisy = [(a + rng.integers(0, n, a.shape)).astype(np.uint8) for n in (10, 50)]

    assert ms_ssim(a, a) == pytest.approx(1.0)
    assert 1 > ms_ssim(a, noisy[0]) > ms_ssim(a, noisy[1]) > 0
    assert measured(a[:160], a[:160])["ms_ssim"] is None
    assert decibel(0.99) == pytest.approx(20.0)


def test_ssimulacra2_falls_with_distortion_and_takes_every_picture() -> None:
    """Its scale: 100 for what is equal, and some 90 for what cannot be told apart."""
    picture = sample_images(1, 128, seed=3)[0][:96, :128]
    jpegs = [jpeg(picture, quality) for quality in (98, 80, 20)]
    found = [ssimulacra2(picture, shown) for shown in jpegs]

    assert ssimulacra2(picture, picture) == pytest.approx(100)
    assert 100 > found[0] > 85 > found[1] > found[2]
    grey = picture[..., 0]
    assert ssimulacra2(grey, jpegs[1][..., 0]) == pytest.approx(
        ssimulacra2(np.repeat(grey[..., None], 3, 2), np.repeat(jpegs[1][..., :1], 3, 2))
    )
    deep = [p.astype(np.uint16) * 257 for p in (picture, jpegs[1])]
    assert ssimulacra2(*deep) == pytest.approx(found[1])


def test_metrics_are_those_of_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure,
        peak_signal_noise_ratio,
    )

    rng = np.random.default_rng(1)
    a = np.cumsum(rng.integers(-3, 4, (192, 200, 3)), 1).clip(-100, 100).astype(np.int16) + 120
    b = (a + rng.integers(-8, 9, a.shape)).clip(0, 255).astype(np.uint8)
    a = a.clip(0, 255).astype(np.uint8)
    batches = [torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None] for x in (b, a)]

    assert psnr(a, b) == pytest.approx(float(peak_signal_noise_ratio(*batches, data_range=255)), abs=1e-4)
    wanted = multiscale_structural_similarity_index_measure(
        *batches, data_range=255.0, sigma=1.5, kernel_size=11, gaussian_kernel=True
    )
    assert ms_ssim(a, b) == pytest.approx(float(wanted), abs=1e-4)
