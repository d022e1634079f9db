"""Measure rate and distortion: every file is really written and decoded from its bytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import attrs

from licframe.codec.target import Target
from licframe.errors import LicframeWarning, UsageError
from licframe.evaluation import metrics, results
from licframe.evaluation.codecs import codec_named
from licframe.evaluation.datasets import Dataset
from licframe.evaluation.results import Point, Results
from licframe.picture.images import read_picture
from licframe.runtime import extras
from licframe.runtime.environment import environment


@attrs.frozen
class Job:
    """One image to be measured with one codec at some qualities."""

    codec: str
    overrides: tuple[str, ...]
    path: Path
    qualities: tuple[float, ...]
    device: str = "cpu"


def run_job(job: Job) -> list[Point]:
    """Encode, decode and compare one image at each quality."""
    codec = codec_named(job.codec, job.overrides, job.device).codec
    picture = read_picture(job.path).to_rgb()  # rates are those of the pixels
    width, height = picture.size
    points = []
    for quality in job.qualities:
        encoded = codec.encode(picture, Target(quality=quality))
        decoded = codec.decode(encoded.data)
        data, pixels = encoded.data, decoded.picture.pixels
        points.append(
            Point(
                image=job.path.name,
                width=width,
                height=height,
                quality=quality,
                bytes=len(data),
                bpp=8 * len(data) / (width * height),
                **metrics.measured(picture.pixels, pixels),  # type: ignore[arg-type]
                encode_seconds=sum(encoded.seconds.values()),
                decode_seconds=sum(decoded.seconds.values()),
            )
        )
    return points


def measure(
    name: str,
    dataset: Dataset,
    path: Path,
    *,
    overrides: tuple[str, ...] = (),
    qualities: Sequence[float] = (),
    workers: int = 1,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Results:
    """Measure a codec on a data set, keeping what ``path`` already holds.

    Args:
        name: see ``codecs.codec_named``; overrides: for a profile.
        path: results file, written after every image, so that an interrupted run goes on.
        qualities: those to measure; the codec's own if empty.
        workers: processes; seconds are only comparable with one.
        device: see ``licframe.load``.
        progress: called with images done and images in all.

    Raises:
        LicframeError: the codec cannot be had; UsageError: no workers; ResultsError: ``path`` holds something else.
    """
    named = codec_named(name, overrides, device)
    codec = named.codec
    # Results made with other weights or another version would be another codec's.
    state = Results(
        codec=path.stem,
        kind=named.kind,
        version=codec.version,
        dataset=dataset.name,
        environment={**environment(), "workers": workers, "device": device},
        complexity=named.complexity,
    )
    if path.exists():
        old = results.load(path)
        if (old.version, old.dataset, old.kind) == (state.version, state.dataset, state.kind):
            state = attrs.evolve(state, points=old.points)
    wanted = tuple(float(q) for q in qualities or codec.qualities)
    names = {image.name for image in dataset.paths}
    state = attrs.evolve(state, points=tuple(p for p in state.points if p.image in names))
    _warn_of_missing()
    have = {(p.image, p.quality) for p in state.points if _complete(p)}
    state = attrs.evolve(
        state, points=tuple(p for p in state.points if p.quality not in wanted or _complete(p))
    )
    jobs = []
    for image in dataset.paths:
        missing = tuple(q for q in wanted if (image.name, q) not in have)
        if missing:
            jobs.append(Job(name, overrides, image, missing, device))
    done = len(dataset.paths) - len(jobs)
    if not jobs:
        state = attrs.evolve(state, curve=results.mean_curve(state.points))
        results.save(state, path)
    for points in _run(jobs, workers):
        done += 1
        merged = sorted([*state.points, *points], key=lambda p: (p.image, p.quality))
        state = attrs.evolve(state, points=tuple(merged), curve=results.mean_curve(merged))
        results.save(state, path)
        if progress:
            progress(done, len(dataset.paths))
    return state


def _warn_of_missing() -> None:
    for metric in metrics.METRICS.values():
        if metric.module is not None and not extras.installed(metric.module):
            package = metric.module.replace("_", "-")
            warnings.warn(
                f"{metric.label} is left out: it needs the package {package}; {extras.install(metric.module)}, "
                "and measure again",
                LicframeWarning,
                stacklevel=3,
            )


def _complete(point: Point) -> bool:
    """Say whether all is measured of a point that can be here: a metric may have lacked its package."""
    return all(
        getattr(point, name) is not None or metrics.why_not(name, point.width, point.height)
        for name in metrics.METRICS
    )


def _run(jobs: Sequence[Job], workers: int) -> Iterator[list[Point]]:
    if workers < 1:
        raise UsageError(f"workers is {workers}; use 1 or more")
    if workers == 1:
        yield from map(run_job, jobs)
        return
    # A forked process would inherit torch's threads in an undefined state.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        for future in as_completed([pool.submit(run_job, job) for job in jobs]):
            yield future.result()


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
