"""Plots of results, drawn as SVG by matplotlib, which the extra ``plot`` installs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from licframe.evaluation.bd import fidelity
from licframe.evaluation.metrics import METRICS
from licframe.evaluation.results import Results
from licframe.runtime.extras import require


def _axes() -> tuple[Any, Any]:
    """Return a figure and its axes.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    require("matplotlib", "a plot")
    from matplotlib.figure import Figure

    # Five inches wide: readable on a telephone, two side by side on a screen.
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    out = io.StringIO()
    # A fixed salt and no date: the same results give the same file.
    with mpl.rc_context({"svg.hashsalt": "licframe", "svg.fonttype": "none", "font.size": 9}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def rate_distortion(results: Sequence[Results], metric: str = "psnr", limit: float = 2.0) -> str:
    """Return an SVG of fidelity over rate up to ``limit`` bpp: profiles solid, the rest dashed or dotted."""
    figure, axes = _axes()
    for number, item in enumerate(sorted(results, key=lambda r: (r.kind != "profile", r.kind, r.codec))):
        pairs = [(rate, db) for rate, db in fidelity(item.curve, metric) if rate <= limit]
        if len(pairs) < 2:
            continue
        style = {"profile": "-", "baseline": "--", "published": ":"}[item.kind]
        axes.plot(
            *zip(*pairs, strict=True),
            style,
            color=f"C{number % 10}",
            marker="o" if item.kind == "profile" else None,
            markersize=3,
            linewidth=2 if item.kind == "profile" else 1.3,
            label=item.codec,
        )
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel(METRICS[metric].title)
    axes.legend(fontsize=8, ncols=2, frameon=False)
    return _svg(figure)


def progress(shares: Sequence[float], curves: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Return an SVG of PSNR in dB over the share of a file's bytes, from (label, PSNR at each share)."""
    figure, axes = _axes()
    for label, decibels in curves:
        axes.plot([100 * share for share in shares], decibels, marker="o", markersize=3, label=label)
    axes.set_xlabel("bytes that have arrived, %")
    axes.set_ylabel(METRICS["psnr"].title)
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def trade_off(points: Sequence[tuple[str, float, float]], label: str) -> str:
    """Return an SVG of BD-rate (percent, lower is better) over a cost, from (name, cost, BD-rate)."""
    figure, axes = _axes()
    from matplotlib.ticker import LogFormatter

    for number, (name, cost, percent) in enumerate(points):
        axes.scatter([cost], [percent], color=f"C{number % 10}", zorder=3)
        axes.annotate(name, (cost, percent), xytext=(5, 5), textcoords="offset points", fontsize=9)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(LogFormatter())  # 20, where a decade does not fit
    axes.margins(0.2)
    axes.set_xlabel(label)
    axes.set_ylabel("BD-rate in %, lower is better")
    return _svg(figure)
