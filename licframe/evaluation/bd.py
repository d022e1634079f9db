"""Bjontegaard delta rate: how much smaller one codec's files are than another's at equal fidelity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import attrs

from licframe.errors import ResultsError, UsageError
from licframe.evaluation.metrics import METRICS
from licframe.evaluation.results import Mean, Results
from licframe.runtime.extras import require

METHODS = ("pchip", "akima")
MIN_POINTS = 4
MIN_OVERLAP = 0.5


@attrs.frozen
class Difference:
    """A BD-rate and all that it depends on.

    Attributes:
        percent: mean difference of rate at equal fidelity; negative means smaller files.
        low, high: the common interval of the metric's ``scaled`` values, such as dB.
        overlap: the common interval's share of the shorter of the two curves.
        points: of the anchor and of the tested curve.
    """

    percent: float
    anchor: str
    anchor_version: str
    metric: str
    method: str
    low: float
    high: float
    overlap: float
    points: tuple[int, int]

    def describe(self) -> str:
        """Return one line that says what the number means."""
        metric = METRICS[self.metric]
        unit = f" {metric.unit}" if metric.unit else ""
        return (
            f"{self.percent:+.1f} % against {self.anchor} ({self.anchor_version}), {metric.label} {self.low:.1f}-"
            f"{self.high:.1f}{unit}, {self.method}, {self.points[0]} and {self.points[1]} points, overlap "
            f"{self.overlap:.0%}"
        )


def fidelity(curve: Sequence[Mean], metric: str) -> list[tuple[float, float]]:
    """Return (bpp, what the metric is scaled to) of the points that have it, by ascending fidelity."""
    if metric not in METRICS:
        raise UsageError(f"unknown metric {metric}; use {' or '.join(METRICS)}")
    scaled = METRICS[metric].scaled
    values = [(mean.bpp, getattr(mean, metric)) for mean in curve]
    return sorted(
        ((bpp, scaled(value)) for bpp, value in values if value is not None), key=lambda pair: pair[1]
    )


def bd_rate(
    anchor: Results,
    test: Results,
    metric: str = "psnr",
    method: str = "pchip",
    rates: tuple[float, float] = (0.0, math.inf),
    levels: tuple[float, float] = (-math.inf, math.inf),
) -> Difference:
    """Return the BD-rate of ``test`` against ``anchor`` over their mean curves.

    Args:
        rates, levels: points outside these ranges of bits per pixel and of the metric are left out.

    Raises:
        ResultsError: fewer than 4 points, less than 50 % overlap, other images, or a curve whose
            fidelity does not rise with rate.
        MissingPackageError: bjontegaard is not installed.
    """
    bjontegaard = require("bjontegaard", "a BD-rate")
    if method not in METHODS:
        raise UsageError(f"unknown method {method}; use {' or '.join(METHODS)}")
    who = f"{test.codec} against {anchor.codec}"
    if anchor.dataset != test.dataset or (anchor.points and test.points and anchor.images != test.images):
        raise ResultsError(
            f"cannot compare {who}: they were measured on different images ({test.dataset}, "
            f"{len(test.images)} images; {anchor.dataset}, {len(anchor.images)}); measure both on the same"
        )
    low, high = rates
    curves = [
        [p for p in fidelity(item.curve, metric) if low <= p[0] <= high and levels[0] <= p[1] <= levels[1]]
        for item in (anchor, test)
    ]
    for item, curve in zip((anchor, test), curves, strict=True):
        if len(curve) < MIN_POINTS:
            raise ResultsError(
                f"no BD-rate of {who}: {item.codec} has {len(curve)} points with {metric}; at least {MIN_POINTS} "
                "are needed: measure more qualities"
            )
        if any(a[1] >= b[1] or a[0] >= b[0] for a, b in pairwise(curve)):
            raise ResultsError(f"no BD-rate of {who}: {metric} of {item.codec} does not rise with its rate")
    (_, a), (_, b) = (list(zip(*curve, strict=True)) for curve in curves)
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    overlap = max(0.0, high - low) / min(a[-1] - a[0], b[-1] - b[0])
    if overlap < MIN_OVERLAP:
        raise ResultsError(
            f"no BD-rate of {who}: the curves share {overlap:.0%} of the shorter one's {metric}, at least "
            f"{MIN_OVERLAP:.0%} is needed; measure qualities in the range {a[0]:.1f}-{a[-1]:.1f}"
        )
    (rates_a, _), (rates_b, _) = (list(zip(*curve, strict=True)) for curve in curves)
    percent = bjontegaard.bd_rate(
        list(rates_a),
        list(a),
        list(rates_b),
        list(b),
        method=method,
        require_matching_points=False,
        min_overlap=0,
    )
    return Difference(
        float(percent), anchor.codec, anchor.version, metric, method, low, high, overlap, (len(a), len(b))
    )
