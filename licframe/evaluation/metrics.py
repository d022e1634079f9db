"""Image quality of pictures with 8 or 16 bits a sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from licframe.picture.error import SSIMULACRA2_SIDE, psnr, ssimulacra2
from licframe.runtime import extras

__all__ = ["METRICS", "Metric", "decibel", "measured", "ms_ssim", "psnr", "ssimulacra2", "why_not"]


def ms_ssim(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the mean MS-SSIM over channels in [0, 1], of pictures with sides of at least 161.

    Raises:
        MissingPackageError: pytorch-msssim is not installed.
    """
    measure = extras.require("pytorch_msssim", "MS-SSIM").ms_ssim
    return float(measure(_batch(a), _batch(b), data_range=np.iinfo(a.dtype).max))


def decibel(similarity: float) -> float:
    """Return MS-SSIM in dB: ``-10 log10(1 - similarity)``."""
    return -10 * math.log10(1 - similarity) if similarity < 1 else math.inf


@attrs.frozen
class Metric:
    """A measure of how good a decoded picture is.

    Attributes:
        name: of its field in results; label: what tables and plots call it; unit: of ``scaled``.
        measure: maps original and decoded samples to the value.
        module: what it needs beside what licframe needs; None for nothing. smallest: side in pixels.
        scaled: maps a value to that over which BD-rates are taken and curves are drawn.
        digits: behind the point, in tables. meaning: a sentence for readers.
    """

    name: str
    label: str
    unit: str
    measure: Callable[[NDArray[Any], NDArray[Any]], float]
    module: str | None = None
    smallest: int = 1
    scaled: Callable[[float], float] = float
    digits: int = 2
    meaning: str = ""

    @property
    def title(self) -> str:
        """The label with the unit of ``scaled``."""
        return f"{self.label} in {self.unit}" if self.unit else self.label

    def shown(self, value: float | None) -> str:
        """Return a value as tables show it."""
        return "-" if value is None else f"{value:.{self.digits}f}"


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("psnr", "PSNR", "dB", psnr, meaning="PSNR over RGB, mean of images."),
            Metric(
                "ms_ssim",
                "MS-SSIM",
                "dB",
                ms_ssim,
                module="pytorch_msssim",
                smallest=161,  # four halvings must leave room for the 11-pixel window
                scaled=decibel,
                digits=4,
                meaning="MS-SSIM as -10 log10(1 - m), mean of images.",
            ),
            Metric(
                "ssimulacra2",
                "SSIMULACRA2",
                "",
                ssimulacra2,
                module="ssimulacra2",
                smallest=SSIMULACRA2_SIDE,
                digits=1,
                meaning="SSIMULACRA2, nearest to what people see: 90 cannot be told apart, 70 is good, 50 middling; mean of images.",
            ),
        )
    }
)
"""By name, in the order in which tables show them."""


def why_not(name: str, width: int, height: int) -> str:
    """Return why pictures of a size in pixels are not measured; empty where they are."""
    metric = METRICS[name]
    if min(width, height) < metric.smallest:
        return f"a side is below {metric.smallest} pixels"
    if metric.module is not None and not extras.installed(metric.module):
        package = metric.module.replace("_", "-")
        return f"needs the package {package}; {extras.install(metric.module)}"
    return ""


def measured(a: NDArray[Any], b: NDArray[Any]) -> dict[str, float | None]:
    """Return the value of each metric, None where ``why_not`` has a reason."""
    height, width = a.shape[:2]
    return {
        name: None if why_not(name, width, height) else metric.measure(a, b)
        for name, metric in METRICS.items()
    }


def _batch(pixels: NDArray[Any]) -> torch.Tensor:
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    return torch.from_numpy(planes.astype(np.float32)).permute(2, 0, 1)[None]
