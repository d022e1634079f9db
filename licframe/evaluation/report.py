"""One self-contained page of results: plots, tables, and pictures to compare by a slider."""

from __future__ import annotations

import html
import statistics
from collections.abc import Sequence

from licframe.errors import ResultsError
from licframe.evaluation import plots
from licframe.evaluation.bd import bd_rate, fidelity
from licframe.evaluation.comparison import Comparison
from licframe.evaluation.metrics import METRICS
from licframe.evaluation.pages import address, filled, image, table, viewer
from licframe.evaluation.results import Results
from licframe.picture.error import AMPLIFICATION, error_map

_PICTURES = """<h2>Pictures at equal bytes</h2>
<p>The first codec decides the bytes, the others have at most as many. Drag the border between left and right, or
move it with the slider. <kbd>F</kbd> in a viewer, or its button, switches in place between left alone and right
alone: what flickers is what differs.</p>"""


def render(
    results: Sequence[Results],
    anchors: Sequence[Results],
    comparisons: Sequence[Comparison] = (),
    title: str = "",
) -> str:
    """Return the page as HTML; it needs no network.

    Args:
        results: codecs on one data set; anchors: what BD-rates refer to, the first in the trade-off plots.

    Raises:
        ResultsError: nothing to show, or several data sets.
        MissingPackageError: bjontegaard or matplotlib is not installed.
    """
    names = {item.dataset for item in (*results, *anchors)}
    if len(names) > 1 or not (names or comparisons):
        raise ResultsError(f"a report shows one data set, not {len(names)} ({', '.join(sorted(names))})")
    everything = list({item.codec: item for item in (*results, *anchors)}.values())
    measured = [item for item in results if item.points]
    return filled(
        "report",
        ("pictures", "viewer"),
        title=html.escape(title or " on ".join(["licframe", *names])),
        curves=_rates(everything, measured, anchors) if names else "",
        comparisons="\n".join([_PICTURES, *map(_viewer, comparisons)]) if comparisons else "",
        tables=_tables(everything, measured, anchors) if names else "",
    )


def _rates(everything: Sequence[Results], measured: Sequence[Results], anchors: Sequence[Results]) -> str:
    return f"""<p>{html.escape(_summary(everything[0].dataset, measured))}</p>
<h2>Rate and distortion</h2>
<p>Solid: profiles; dashed: measured baselines; dotted: published curves.</p>
<div class="figures">{_curves(everything)}
{_trade_offs(measured, anchors[0]) if anchors else ""}</div>"""


def _tables(everything: Sequence[Results], measured: Sequence[Results], anchors: Sequence[Results]) -> str:
    versions = [[r.codec, r.kind, r.version, r.source or r.note] for r in everything]
    return f"""<h2>BD-rate</h2>
<p>Mean difference of rate at equal fidelity (PCHIP over the common interval, shown in brackets); negative means
smaller files. A dash: fewer than four points, or curves that hardly overlap.</p>
{_bd_table(everything, anchors)}
<h2>Every image</h2>
{_image_table(measured)}
<h2>What was measured</h2>
{table(["codec", "kind", "version", "source"], versions)}"""


def _summary(dataset: str, measured: Sequence[Results]) -> str:
    images = max((len(item.images) for item in measured), default=0)
    machines = {
        f"{e.get('cores')} cores, {e.get('threads')} threads, {e.get('gpu') or 'no GPU'}, torch {e.get('torch')}"
        for e in (item.environment for item in measured)
    }
    return f"{images} images of {dataset}; bytes of real files, decoded from the files; {'; '.join(sorted(machines))}."


def _curves(results: Sequence[Results]) -> str:
    """Return a figure of each metric that a curve has."""
    return "\n".join(
        f"<figure>{plots.rate_distortion(results, name)}<figcaption>{html.escape(metric.meaning)}</figcaption></figure>"
        for name, metric in METRICS.items()
        if any(len(fidelity(item.curve, name)) > 1 for item in results)
    )


def _seconds(item: Results) -> float:
    return statistics.fmean(point.decode_seconds for point in item.points)


def _trade_offs(measured: Sequence[Results], anchor: Results) -> str:
    by_time, by_macs = [], []
    for item in measured:
        try:
            percent = 0.0 if item.codec == anchor.codec else bd_rate(anchor, item).percent
        except ResultsError:
            continue
        by_time.append((item.codec, max(_seconds(item), 1e-4), percent))
        if item.complexity.get("kmac_decode"):
            by_macs.append((item.codec, item.complexity["kmac_decode"], percent))
    drawn = [
        (by_time, "seconds to decode an image, log scale"),
        (by_macs, "decoder kMAC per pixel, log scale"),
    ]
    figures = [
        f"<figure>{plots.trade_off(points, label)}<figcaption>BD-rate against {html.escape(anchor.codec)}: the "
        "trade-off that profiles exist for.</figcaption></figure>"
        for points, label in drawn
        if points
    ]
    return "\n".join(figures)


def _bd_table(results: Sequence[Results], anchors: Sequence[Results]) -> str:
    head = [
        "codec",
        *(f"{a.codec}, {m.label}" for a in anchors for m in METRICS.values()),
    ]
    rows = []
    for item in results:
        row = [item.codec]
        for anchor in anchors:
            for metric in METRICS:
                try:
                    difference = bd_rate(anchor, item, metric)
                    row.append(f"{difference.percent:+.1f} % ({difference.low:.1f}-{difference.high:.1f})")
                except ResultsError:
                    row.append("-")
        rows.append(["0" if cell.startswith("+0.0 %") else cell for cell in row])
    return table(head, rows)


def _image_table(measured: Sequence[Results]) -> str:
    rows = [
        [
            p.image,
            item.codec,
            f"{p.quality:g}",
            str(p.bytes),
            f"{p.bpp:.4f}",
            *(metric.shown(getattr(p, name)) for name, metric in METRICS.items()),
            f"{p.encode_seconds:.3f}",
            f"{p.decode_seconds:.3f}",
        ]
        for item in measured
        for p in item.points
    ]
    rows.sort(key=lambda row: (row[0], row[1]))
    return table(
        [
            "image",
            "codec",
            "quality",
            "bytes",
            "bpp",
            *(m.label for m in METRICS.values()),
            "encode s",
            "decode s",
        ],
        rows,
    )


def _viewer(comparison: Comparison) -> str:
    names = [coded.codec for coded in comparison.levels[0].coded]
    views = ["original", *names, *(f"error of {codec}, x{AMPLIFICATION}" for codec in names)]
    levels = [level.label for level in comparison.levels]
    return viewer(comparison.name, views, _images(comparison), levels, chosen=(1, 2))


def _images(comparison: Comparison) -> list[str]:
    """Return the pictures of all levels; those of one view have one number."""
    original, name = comparison.original, comparison.name
    size = original.shape[1], original.shape[0]
    images = [image(address(original), size, 0, f"{name}: original", "original")]
    for number, level in enumerate(comparison.levels):
        count = len(level.coded)
        for view, coded in enumerate(level.coded, 1):
            error, alt = f"error of {coded.codec}, x{AMPLIFICATION}", f"{coded.codec}, {level.label}"
            shown = address(coded.pixels)
            images.append(image(shown, size, view, f"{name}: {alt}", coded.caption, number))
            shown = address(error_map(original, coded.pixels), lossless=False)
            caption = f"{error}; {coded.caption}"
            images.append(image(shown, size, view + count, f"{name}: error of {alt}", caption, number))
    return images
