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
from licframe.evaluation.pages import address, filled
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
{_table(["codec", "kind", "version", "source"], versions)}"""


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
    return _table(head, rows)


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
    return _table(
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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide" tabindex="0"><table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _viewer(comparison: Comparison) -> str:
    name = html.escape(comparison.name)
    first, *_ = comparison.levels
    names = [coded.codec for coded in first.coded]
    views = ["original", *names, *(f"error of {codec}, x{AMPLIFICATION}" for codec in names)]
    levels = [level.label for level in comparison.levels]
    return f"""<section class="viewer" aria-label="{name}">
<h3>{name}</h3>
<div class="controls">
<label>left <select data-side="left">{_options(views, 1)}</select></label>
<label>right <select data-side="right">{_options(views, 2)}</select></label>
<label{" hidden" * (len(levels) == 1)}>at <select data-level-choice>{_options(levels)}</select></label>
<label>zoom <select data-zoom>
<option value="fit">fit</option><option value="1">1:1</option><option value="2">2:1</option><option value="4">4:1</option>
</select></label>
<button type="button" data-flicker>flicker <span class="key">(<kbd>F</kbd>)</span></button>
<span role="status">shown: <span data-now>both</span></span>
</div>
<div class="frame" tabindex="0" role="group" aria-label="pictures of {name}"><div class="stage">
{_images(comparison)}
<div class="line"></div></div></div>
<label class="slide">border <input type="range" min="0" max="100" value="50" step="0.5" aria-label="border between left and right"></label>
<p class="caption" data-caption="left"></p>
<p class="caption" data-caption="right"></p>
<p class="caption" data-scale></p>
</section>"""


def _options(labels: Sequence[str], chosen: int = 0) -> str:
    return "".join(
        f'<option value="{number}"{" selected" * (number == chosen)}>{html.escape(label)}</option>'
        for number, label in enumerate(labels)
    )


def _images(comparison: Comparison) -> str:
    """Return the pictures of all levels; those of one view have one number."""
    original = comparison.original
    height, width = original.shape[:2]

    def image(source: str, view: int, alt: str, caption: str, level: str = "") -> str:
        return (
            f'<img src="{source}" width="{width}" height="{height}" decoding="sync" data-view="{view}"{level} '
            f'alt="{html.escape(comparison.name)}: {html.escape(alt)}" data-caption="{html.escape(caption)}">'
        )

    images = [image(address(original), 0, "original", "original")]
    for number, level in enumerate(comparison.levels):
        at, count = f' data-level="{number}"', len(level.coded)
        for view, coded in enumerate(level.coded, 1):
            error, alt = f"error of {coded.codec}, x{AMPLIFICATION}", f"{coded.codec}, {level.label}"
            difference = address(error_map(original, coded.pixels), lossless=False)
            images.append(image(address(coded.pixels), view, alt, coded.caption, at))
            images.append(
                image(difference, view + count, f"error of {alt}", f"{error}; {coded.caption}", at)
            )
    return "\n".join(images)
