"""Does a file decode the same in every setting?

Images are encoded in each setting, in a process of its own, and every file is decoded in each
setting. A pair fails where the decoder's symbols differ from the encoder's, or where its pixels
differ from those of the first setting by more than one level, or by one level in more than one of
5000 samples.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

_MAX_SHARE = 1 / 5000


@attrs.frozen
class Setting:
    """Environment variables of a process, and how it uses torch."""

    environment: Mapping[str, str] = attrs.field(factory=dict)
    threads: int = 1
    onednn: bool = True
    channels_last: bool = True
    batch: int = 1
    compiled: bool = False
    device: str = "cpu"

    @property
    def available(self) -> bool:
        """Whether this machine has the device."""
        import torch

        return self.device == "cpu" or torch.cuda.is_available()


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "one-thread": Setting(),
        "two-threads": Setting(threads=2),
        "onednn-off": Setting(onednn=False),
        "onednn-sse41": Setting({"ONEDNN_MAX_CPU_ISA": "SSE41"}, threads=2),
        "onednn-avx2": Setting({"ONEDNN_MAX_CPU_ISA": "AVX2"}),
        "aten-default": Setting({"ATEN_CPU_CAPABILITY": "default"}, threads=2),
        "aten-avx2": Setting({"ATEN_CPU_CAPABILITY": "avx2"}),
        "mkl-compatible": Setting({"MKL_CBWR": "COMPATIBLE"}, threads=2),
        "mkl-sse2": Setting({"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "MKL_DEBUG_CPU_TYPE": "1"}),
        "channels-first": Setting(channels_last=False, threads=2),
        "batch-of-three": Setting(batch=3, threads=2),
        "compiled": Setting(compiled=True, threads=2),
        "cuda": Setting(device="cuda"),
        "everything-off": Setting(
            {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
            onednn=False,
        ),
    }
)
SMALL = ("one-thread", "two-threads", "everything-off")


@attrs.frozen
class Report:
    """How many pairs were tried, which failed and why, and the largest share of differing samples."""

    pairs: int
    failures: Sequence[str]
    largest_share: float


def sample_images(count: int, side: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Return synthetic pictures with edges, gradients and texture, sides around ``side``."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        h, w = (int(x) for x in rng.integers(side * 3 // 4, side * 5 // 4, 2))
        y, x = np.mgrid[:h, :w]
        image = np.stack([x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1) for _ in range(3)], -1) + 128
        for _ in range(12):
            cy, cx, r = rng.uniform(0, h), rng.uniform(0, w), rng.uniform(4, side / 3)
            image[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = rng.uniform(0, 255, 3)
        image += rng.normal(0, rng.uniform(0, 25), image.shape)
        images.append(image.clip(0, 255).astype(np.uint8))
    return images


def matrix(
    profiles: Sequence[str],
    images: Sequence[NDArray[np.uint8]],
    settings: Mapping[str, Setting],
    folder: Path,
    qualities: Sequence[int] = (20, 80),
) -> dict[str, Report]:
    """Encode every image in every setting, decode every file in every setting, and compare.

    Settings of a device that is not there are left out. A setting is one process for encoding and one for decoding, whatever the number of profiles; as many run at
    once as there are cores. Refiners are left out: they change what is encoded, not how it decodes.
    """
    settings = {name: setting for name, setting in settings.items() if setting.available}
    arrays: dict[str, Any] = {f"{k:03}": image for k, image in enumerate(images)}
    np.savez(folder / "images.npz", **arrays)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for action in ("encode", "decode"):
            running = [
                pool.submit(_worker, action, profiles, name, setting, folder, qualities)
                for name, setting in settings.items()
            ]
            for worker in running:
                worker.result()
    return {profile: _compare(folder / str(k), settings) for k, profile in enumerate(profiles)}


def _compare(folder: Path, settings: Mapping[str, Setting]) -> Report:
    """Compare what all settings decoded of one profile's files."""
    failures: list[str] = []
    pairs, largest = 0, 0.0
    reference: dict[str, NDArray[np.uint8]] = {}
    for name in settings:
        said = json.loads((folder / f"decoded-{name}.json").read_text())
        with np.load(folder / f"decoded-{name}.npz") as pixels:
            for file, outcome in said.items():
                pairs += 1
                if outcome != "equal":
                    failures.append(f"{file} in {name}: {outcome}")
                    continue
                decoded = pixels[file]
                difference = np.abs(decoded.astype(np.int16) - reference.setdefault(file, decoded))
                share = float((difference > 0).mean())
                largest = max(largest, share)
                if difference.max() > 1 or share >= _MAX_SHARE:
                    failures.append(
                        f"{file} in {name}: pixels differ by up to {difference.max()} in {share:.2%} of samples"
                    )
    return Report(pairs, failures, largest)


def _worker(
    action: str,
    profiles: Sequence[str],
    name: str,
    setting: Setting,
    folder: Path,
    qualities: Sequence[int],
) -> None:
    done = subprocess.run(  # noqa: S603
        [
            sys.executable,
            "-m",
            "licframe.testing.exactness_worker",
            action,
            json.dumps(list(profiles)),
            name,
            str(folder),
            json.dumps(attrs.asdict(setting)),
            json.dumps(list(qualities)),
        ],
        # threads that wait asleep leave the cores to the other processes
        env={**os.environ, "OMP_WAIT_POLICY": "passive", **setting.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{action} in setting {name} failed:\n{done.stderr[-2000:]}")
