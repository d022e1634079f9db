"""Swap parts of a profile and measure every combination against the profile itself.

Parts behind the same transform see the same latents: a difference in rate is theirs, and that of their training.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import attrs

from licframe.errors import LicframeError, UsageError, WeightsMismatchError
from licframe.evaluation import rd
from licframe.evaluation.bd import bd_rate
from licframe.evaluation.codecs import codec_named, result_name
from licframe.evaluation.datasets import Dataset
from licframe.evaluation.results import Results
from licframe.profile.profile import latent_profile

KINDS = ("transform", "context_scheduler", "entropy_model", "refiner", "picture_filter")


@attrs.frozen
class Variant:
    """One combination: what was swapped, and what came of it.

    Attributes:
        swaps: "kind=name" for each part that differs from the base; empty for the base.
        results: None where it could not be measured; problem says why.
        percent: BD-rate against the base, PSNR; None for the base or without results.
        encode_ratio, decode_ratio: seconds of the base over these, means over all files.
    """

    swaps: tuple[str, ...]
    results: Results | None = None
    problem: str = ""
    percent: float | None = None
    encode_ratio: float | None = None
    decode_ratio: float | None = None

    @property
    def label(self) -> str:
        """What to call it in a table or plot."""
        return ", ".join(self.swaps) or "base"


def combinations(swaps: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every combination of "kind=name" swaps, at most one of a kind; first that without any.

    Raises:
        UsageError: a swap is malformed, or there twice.
    """
    by_kind: dict[str, list[str]] = {}
    for swap in swaps:
        kind, equals, name = swap.partition("=")
        if kind not in KINDS or not equals or not name:
            raise UsageError(
                f"--swap {swap}: expected kind=name with a kind of {', '.join(KINDS)}; for example "
                "--swap entropy_model=laplace"
            )
        if swap in by_kind.setdefault(kind, []):
            raise UsageError(f"--swap {swap} is there twice; give each swap once")
        by_kind[kind].append(swap)
    choices = [("", *names) for names in by_kind.values()]
    return [tuple(filter(None, combination)) for combination in product(*choices)]


def measure(
    profile: str,
    swaps: Sequence[str],
    dataset: Dataset,
    folder: Path,
    *,
    overrides: Sequence[str] = (),
    qualities: Sequence[float] = (),
    started: Callable[[str], Callable[[int, int], None] | None] = lambda _: None,
) -> list[Variant]:
    """Measure a profile and all combinations of swaps; results stay in ``folder`` and are reused.

    Raises:
        LicframeError: the profile itself cannot be loaded or measured; a part is unknown; or no combination can be loaded,
            which is told before anything is measured.
    """
    asked = []
    for combination in combinations(swaps):
        setting = tuple(
            f"{kind}.plugin={part}" for kind, _, part in (s.partition("=") for s in combination)
        )
        asked.append((combination, (*overrides, *setting)))
        latent_profile(profile, asked[-1][1])  # an unknown part is a mistake of whoever typed it
    problems = {swapped: _problem(profile, settings, swapped) for swapped, settings in asked}
    unloaded = [error for error in problems.values() if error is not None]
    if problems[()] is not None or (swaps and len(unloaded) == len(asked) - 1):
        raise unloaded[0]
    variants: list[Variant] = []
    base: Results | None = None
    for combination, settings in asked:
        if (error := problems[combination]) is not None:
            variants.append(Variant(combination, problem=str(error)))
            continue
        name = _name(profile, combination)
        path, progress = folder / f"{name}.json", started(name)
        try:
            results = rd.measure(
                profile, dataset, path, overrides=settings, qualities=qualities, progress=progress
            )
        except LicframeError as error:
            if base is None:
                raise
            variants.append(Variant(combination, problem=str(error)))
            continue
        variants.append(_variant(combination, base, results))
        base = base or results
    return variants


def _name(profile: str, swaps: Sequence[str]) -> str:
    return "+".join([result_name(profile), *(swap.replace("=", "-") for swap in swaps)])


def _problem(profile: str, settings: tuple[str, ...], swaps: Sequence[str]) -> LicframeError | None:
    """Return why a combination cannot be loaded, and the command that makes the weights where those are missing."""
    try:
        codec_named(profile, settings)
    except WeightsMismatchError as error:
        base = latent_profile(profile, settings).weights_path
        if base is None or not swaps:
            return error
        command = ["licframe", "train", profile, *(word for one in settings for word in ("--set", one))]
        if not any(swap.startswith("transform=") for swap in swaps):  # else no latents are left to fit to
            command += ["--fit", "context", "--start", str(base)]
        command += ["--data", "FOLDER", "--folder", f"runs/{_name(profile, swaps)}"]
        return WeightsMismatchError(f"{error}. This trains them: {shlex.join(command)}")
    except LicframeError as error:
        return error
    return None


def _variant(swaps: tuple[str, ...], base: Results | None, results: Results) -> Variant:
    """Return results beside those of the base; None is the base itself."""
    if base is None:
        return Variant(swaps, results)
    try:
        percent, problem = bd_rate(base, results).percent, ""
    except LicframeError as error:
        percent, problem = None, str(error)
    return Variant(
        swaps,
        results,
        problem,
        percent,
        _seconds(base, "encode_seconds") / _seconds(results, "encode_seconds"),
        _seconds(base, "decode_seconds") / _seconds(results, "decode_seconds"),
    )


def _seconds(results: Results, name: str) -> float:
    return statistics.fmean(getattr(point, name) for point in results.points)
