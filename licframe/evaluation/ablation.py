"""Swap parts of a profile and measure every combination against the profile itself.

Parts behind the same transform see the same latents, so a difference in rate is theirs alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import attrs

from licframe.errors import LicframeError, UsageError
from licframe.evaluation import rd
from licframe.evaluation.bd import bd_rate
from licframe.evaluation.datasets import Dataset
from licframe.evaluation.results import Results

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
        UsageError: a swap is malformed.
    """
    by_kind: dict[str, list[str]] = {}
    for swap in swaps:
        kind, equals, name = swap.partition("=")
        if kind not in KINDS or not equals or not name:
            raise UsageError(
                f"--swap {swap}: expected kind=name with a kind of {', '.join(KINDS)}; for example "
                "--swap entropy_model=laplace"
            )
        by_kind.setdefault(kind, []).append(swap)
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
        LicframeError: the profile itself cannot be measured.
    """
    variants: list[Variant] = []
    base: Results | None = None
    for combination in combinations(swaps):
        name = "+".join([Path(profile).stem, *(swap.replace("=", "-") for swap in combination)])
        setting = [f"{kind}.plugin={part}" for kind, _, part in (s.partition("=") for s in combination)]
        try:
            results = rd.measure(
                profile,
                dataset,
                folder / f"{name}.json",
                overrides=(*overrides, *setting),
                qualities=qualities,
                progress=started(name),
            )
        except LicframeError as error:
            if base is None:
                raise
            variants.append(Variant(combination, problem=str(error)))
            continue
        if base is None:
            base = results
            variants.append(Variant(combination, results))
            continue
        try:
            percent, problem = bd_rate(base, results).percent, ""
        except LicframeError as error:
            percent, problem = None, str(error)
        variants.append(
            Variant(
                combination,
                results,
                problem,
                percent,
                _seconds(base, "encode_seconds") / _seconds(results, "encode_seconds"),
                _seconds(base, "decode_seconds") / _seconds(results, "decode_seconds"),
            )
        )
    return variants


def _seconds(results: Results, name: str) -> float:
    return statistics.fmean(getattr(point, name) for point in results.points)
