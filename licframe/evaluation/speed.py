"""Measure speed: stages of encoding and decoding, in interleaved repeats, with the memory they take.

Repeats are interleaved (every profile once, then every profile again), so that a machine that slows
down for a while slows all of them; ratios to a base profile are taken within each round, and their
medians are shown.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.errors import LicframeError, UsageError
from licframe.evaluation.complexity import complexity
from licframe.picture.images import Picture, from_array
from licframe.runtime.environment import environment

SIZES = ((768, 512), (1913, 1361), (3840, 2160))
_MOST_PASSES = 2000
_PROFILED_ROUNDS = 5
_MATRIX_OPERATORS = (
    "mm",
    "addmm",
    "bmm",
    "baddbmm",
    "baddbmm_",
    "mkldnn_convolution",
    "_slow_conv2d_forward",
)


@attrs.frozen
class Timing:
    """Medians of one profile at one size.

    Attributes:
        encode, decode: seconds in all; encode_stages, decode_stages: seconds by stage.
        encode_ratio, decode_ratio: median of the seconds of the base over these, round by round.
        matrix_share: share of decoding spent in matrix products and convolutions (profiler); None for a plan of
            thousands of steps, whose record would fill the memory.
        peak_mib: most memory of a process that encodes and decodes once, above the loaded codec.
    """

    profile: str
    width: int
    height: int
    bytes: int
    encode: float
    decode: float
    encode_stages: dict[str, float]
    decode_stages: dict[str, float]
    encode_ratio: float
    decode_ratio: float
    matrix_share: float | None
    peak_mib: float | None
    complexity: dict[str, Any]


def resized(pixels: NDArray[np.uint8], width: int, height: int) -> Picture:
    """Return a picture of that size: the largest crop of that shape, resampled."""
    image = Image.fromarray(pixels).convert("RGB")
    scale = max(width / image.width, height / image.height)
    box_w, box_h = width / scale, height / scale
    left, top = (image.width - box_w) / 2, (image.height - box_h) / 2
    box = (left, top, left + box_w, top + box_h)
    return from_array(np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box)))


def measure(
    profiles: Sequence[str],
    pixels: NDArray[np.uint8],
    sizes: Sequence[tuple[int, int]],
    *,
    base: str,
    quality: int = 50,
    repeats: int = 5,
    overrides: Sequence[str] = (),
    memory: bool = True,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> list[Timing]:
    """Time profiles on one picture at several sizes; the first round warms up and is not counted.

    Raises:
        UsageError: the base is not among the profiles, or repeats is below 1.
    """
    if base not in profiles:
        raise UsageError(f"the base {base} is not among the profiles {', '.join(profiles)}; add it")
    if repeats < 1:
        raise UsageError(f"repeats is {repeats}; use 1 or more")
    codecs = {name: load_latent(name, overrides, device=device) for name in profiles}
    target = Target(quality=quality)
    timings = []
    rounds_done, rounds = 0, len(sizes) * (repeats + 1)
    for width, height in sizes:
        picture = resized(pixels, width, height)
        encodes: dict[str, list[dict[str, float]]] = {name: [] for name in profiles}
        decodes: dict[str, list[dict[str, float]]] = {name: [] for name in profiles}
        files: dict[str, bytes] = {}
        for _ in range(repeats + 1):
            for name, codec in codecs.items():
                encoded = codec.encode(picture, target)
                files[name] = encoded.data
                encodes[name].append(encoded.seconds)
                decodes[name].append(codec.decode(encoded.data).seconds)
            rounds_done += 1
            if progress:
                progress(rounds_done, rounds)
        for name, codec in codecs.items():
            stride = codec.model.transform.stride
            passes = codec.model.scheduler.serial_passes(-(-height // stride), -(-width // stride))
            timings.append(
                Timing(
                    profile=name,
                    width=width,
                    height=height,
                    bytes=len(files[name]),
                    encode=_total(encodes[name]),
                    decode=_total(decodes[name]),
                    encode_stages=_stages(encodes[name]),
                    decode_stages=_stages(decodes[name]),
                    encode_ratio=_ratio(encodes[base], encodes[name]),
                    decode_ratio=_ratio(decodes[base], decodes[name]),
                    matrix_share=matrix_share(codec, files[name]) if passes <= _MOST_PASSES else None,
                    peak_mib=_peak(name, overrides, width, height, quality) if memory else None,
                    complexity={**complexity(codec.model, codec.picture_filter), "serial_passes": passes},
                )
            )
    return timings


def matrix_share(codec: LatentCodec, data: bytes) -> float:
    """Return the share of decoding's own time that torch spends in matrix products, the median of some rounds."""
    from torch.autograd.profiler import profile

    shares = []
    for _ in range(_PROFILED_ROUNDS):
        with profile(use_kineto=False) as record:
            begin = time.perf_counter()
            codec.decode(data)
            seconds = time.perf_counter() - begin
        inside = sum(
            event.self_cpu_time_total
            for event in record.key_averages()
            if event.key.removeprefix("aten::") in _MATRIX_OPERATORS
        )
        shares.append(inside / 1e6 / seconds)
    return float(statistics.median(shares))


def _total(runs: Sequence[dict[str, float]]) -> float:
    return statistics.median(sum(run.values()) for run in runs[1:])


def _stages(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    return {stage: statistics.median(run[stage] for run in runs[1:]) for stage in runs[0]}


def _ratio(base: Sequence[dict[str, float]], runs: Sequence[dict[str, float]]) -> float:
    pairs = zip(base[1:], runs[1:], strict=True)
    return statistics.median(sum(a.values()) / sum(b.values()) for a, b in pairs)


_PROBE = """
import json, sys
import numpy as np
from licframe.codec.loading import load_latent
from licframe.picture.images import from_array
from licframe.codec.target import Target
name, overrides, width, height, quality = json.loads(sys.argv[1])
codec = load_latent(name, overrides)
y, x = np.mgrid[:height, :width]
waves = 128 + 60 * np.sin(x / 9) + 50 * np.cos(y / 7)
pixels = np.repeat(waves.clip(0, 255).astype(np.uint8)[..., None], 3, 2)
del y, x, waves
def kib(name):
    with open("/proc/self/status") as file:
        return int(file.read().split(name + ":")[1].split()[0])
before = kib("VmRSS")
codec.decode(codec.encode(from_array(pixels), Target(quality=quality)).data)
print(kib("VmHWM") - before)
"""


def _peak(name: str, overrides: Sequence[str], width: int, height: int, quality: int) -> float | None:
    """Return MiB by which a fresh process grows at most; None where there is no /proc."""
    if not Path("/proc/self/status").is_file():
        return None
    arguments = json.dumps([name, list(overrides), width, height, quality])
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", _PROBE, arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LicframeError(f"measuring the memory of {name} failed: {done.stderr.strip()[-300:]}")
    return int(done.stdout) / 1024


def to_record(
    timings: Sequence[Timing], base: str, quality: int, repeats: int, device: str = "cpu"
) -> dict[str, Any]:
    """Return timings as a JSON record (schema ``licframe-speed-1``)."""
    return {
        "schema": "licframe-speed-1",
        "base": base,
        "quality": quality,
        "repeats": repeats,
        "environment": {**environment(), "device": device},
        "timings": [_rounded(attrs.asdict(timing)) for timing in timings],
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
