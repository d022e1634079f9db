"""Remake docs/results and the tables that are made from it: one command.

    python docs/tools/results.py --data data/              # measure everything, then the tables
    python docs/tools/results.py --data data/ --only max_quality
    python docs/tools/results.py --tables                  # only the tables and plots, from what was measured

``data/kodak`` holds the 24 Kodak images. Measurements that are there already, made with the same weights, are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from licframe.errors import LicframeError
from licframe.evaluation import datasets, plots, published, rd, results, speed
from licframe.evaluation.bd import bd_rate, fidelity
from licframe.evaluation.metrics import METRICS
from licframe.evaluation.results import Results, mean_curve
from licframe.picture.images import read_picture
from licframe.runtime.atomic import write_atomically, write_json
from licframe.runtime.malloc import keep_freed

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "results" / "kodak"
SPEED = ROOT / "docs" / "results" / "speed.json"
SERIAL = SPEED.with_name("speed-serial.json")
PREVIEWS = SPEED.with_name("previews.json")
# kodim22, the median of Kodak in rate
SPEED_IMAGE = 21
PROFILES = ("visual", "fast", "balanced", "checkerboard", "ms_ssim", "max_quality")
# A minute of search a file: 96 minutes in all
FEW = {"max_quality": (15, 30, 50, 70)}
BASELINES = ("jpeg", "webp", "avif", "avif-420", "jpeg2000", "jxl")
ANCHORS = ("jpeg", "webp", "avif", "jxl", "vtm-9.1", "bpg", "cheng2020", "elic", "hpcm-large")
USUAL, HIGH = (0.1, 1.6), (1.5, 7.0)
"""Bits per pixel: where codecs are compared, and what comes above."""
ANY = (-math.inf, math.inf)
SEEN = (10.0, 85.0)
"""SSIMULACRA2, from bad to nearly perfect."""
DRAWS = 400
"""Of the pictures, for an interval."""
SEEN_AGAINST = ("jpeg", "webp", "avif", "avif-420", "jxl")
NAMES = {
    "jpeg": "JPEG",
    "webp": "WebP",
    "avif": "AVIF",
    "avif-420": "AVIF 4:2:0",
    "jxl": "JPEG XL",
    "vtm-9.1": "VTM-9.1",
    "bpg": "BPG",
    "elic": "ELIC",
    "hpcm-large": "HPCM-L",
}


def measure(data: Path, names: Sequence[str]) -> None:
    dataset = datasets.find("kodak", data)
    for name in names:
        rd.measure(
            name,
            dataset,
            FOLDER / f"{name}.json",
            qualities=FEW.get(name, ()),
            progress=lambda done, total, name=name: print(f"{name}: {done} of {total}", flush=True),
        )


def measure_speed(data: Path) -> None:
    pixels = read_picture(datasets.find("kodak", data).paths[SPEED_IMAGE]).pixels
    timings = speed.measure(["balanced", "fast", "checkerboard"], pixels, speed.SIZES[:2], base="balanced")
    write_json(SPEED, speed.to_record(timings, "balanced", 50, 5))
    timings = speed.measure(
        ["serial", "balanced", "fast"], pixels, speed.SIZES[1:2], base="serial", repeats=1
    )
    write_json(SERIAL, speed.to_record(timings, "serial", 50, 1))


def load() -> tuple[list[Results], dict[str, Results]]:
    """Return measured profiles in order, and everything by name, published curves included."""
    everything = {**published.published("kodak")}
    everything |= {path.stem: results.load(path) for path in sorted(FOLDER.glob("*.json"))}
    profiles = [item for item in everything.values() if item.kind == "profile"]
    order = {name: number for number, name in enumerate(PROFILES)}
    return sorted(profiles, key=lambda item: order.get(item.codec, len(order))), everything


def bd_table(
    metric: str,
    rates: tuple[float, float] = USUAL,
    anchors: Sequence[str] = ANCHORS,
    levels: tuple[float, float] = ANY,
) -> str:
    """Return BD-rates of every profile against every anchor, as Markdown."""
    profiles, everything = load()
    lines = [
        f"| BD-rate against | {' | '.join(NAMES.get(a, a) for a in anchors)} |",
        f"|---|{'---|' * len(anchors)}",
    ]
    for item in profiles:
        cells = cells_of(everything, item, metric, anchors, rates, levels)
        if set(cells) == {"-"}:
            continue
        lines.append(f"| `{item.codec}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def cells_of(
    everything: Mapping[str, Results],
    item: Results,
    metric: str,
    anchors: Sequence[str],
    rates: tuple[float, float],
    levels: tuple[float, float],
) -> list[str]:
    """Return BD-rates of one codec against anchors; a dash where there is none."""
    cells = []
    for anchor in anchors:
        try:
            found = bd_rate(everything[anchor], item, metric, rates=rates, levels=levels)
            cells.append(f"{found.percent:+.1f} %")
        except (KeyError, LicframeError):
            cells.append("-")
    return cells


def front_table() -> str:
    """Return the BD-rates of the README, as Markdown: each profile by what it was trained for, and by PSNR."""
    _, everything = load()
    anchors = ("jpeg", "webp", "avif", "jxl", "vtm-9.1", "elic")
    lines = [
        f"| BD-rate, Kodak | by | {' | '.join(NAMES.get(a, a) for a in anchors)} |",
        f"|---|---|{'---|' * len(anchors)}",
    ]
    for name, metric in (
        ("visual", "ssimulacra2"),
        ("visual", "psnr"),
        ("fast", "psnr"),
        ("balanced", "psnr"),
    ):
        rates, levels = (ANY, SEEN) if metric == "ssimulacra2" else (USUAL, ANY)
        cells = cells_of(everything, everything[name], metric, anchors, rates, levels)
        lines.append(f"| `{name}` | {METRICS[metric].label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def curve_table() -> str:
    """Return the mean curves of the profiles as Markdown."""
    profiles, _ = load()
    lines = [
        "| profile | quality | bpp | PSNR dB | MS-SSIM | SSIMULACRA2 |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{item.codec}` | {m.quality:g} | {m.bpp:.4f} | {m.psnr:.2f} | {m.ms_ssim:.4f} | "
        f"{METRICS['ssimulacra2'].shown(m.ssimulacra2)} |"
        for item in profiles
        for m in item.curve
    ]
    return "\n".join(lines)


def speed_table(path: Path = SPEED) -> str:
    """Return timings as Markdown."""
    record = json.loads(path.read_text())
    lines = [
        (
            "| profile | size | encode s | decode s | of it context / coding / synthesis | in matrix products | "
            "kMAC/px enc / dec | serial passes | MiB |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for t in record["timings"]:
        stages = " / ".join(
            f"{t['decode_stages'][name]:.2f}" for name in ("context", "coding", "synthesis")
        )
        cost = t["complexity"]
        lines.append(
            f"| `{t['profile']}` | {t['width']}x{t['height']} | {t['encode']:.2f} | {t['decode']:.2f} | {stages} | "
            f"{share(t['matrix_share'])} | {cost['kmac_encode']} / {cost['kmac_decode']} | {cost['serial_passes']} | "
            f"{t['peak_mib']:.0f} |"
        )
    return "\n".join(lines)


def spread_table() -> str:
    """Return 95 % intervals of BD-rates against codecs that were measured here, as Markdown."""
    profiles, everything = load()
    anchors = [name for name in ANCHORS if name in everything and everything[name].points]
    lines = [
        f"| metric | profile | {' | '.join(NAMES.get(a, a) for a in anchors)} |",
        f"|---|---|{'---|' * len(anchors)}",
    ]
    for metric, rates, levels in (
        ("psnr", USUAL, ANY),
        ("ssimulacra2", ANY, SEEN),
    ):
        for item in profiles:
            found = [interval(everything[anchor], item, metric, rates, levels) for anchor in anchors]
            if set(found) != {None}:
                cells = " | ".join("-" if f is None else f"{f[0]:+.1f} to {f[1]:+.1f} %" for f in found)
                lines.append(f"| {METRICS[metric].label} | `{item.codec}` | {cells} |")
    return "\n".join(lines)


def interval(
    anchor: Results, test: Results, metric: str, rates: tuple[float, float], levels: tuple[float, float]
) -> tuple[float, float] | None:
    """Return the 95 % interval of a BD-rate over draws of the pictures with replacement; None where it has none.

    Which qualities count is decided by the means of all pictures, once.
    """
    points = []
    for item in (anchor, test):
        shown = fidelity([m for m in item.curve if rates[0] <= m.bpp <= rates[1]], metric)
        bpps = {bpp for bpp, value in shown if levels[0] <= value <= levels[1]}
        counted = {m.quality for m in item.curve if m.bpp in bpps}
        points.append(
            {
                name: [p for p in item.points if p.image == name and p.quality in counted]
                for name in item.images
            }
        )
    drawn = random.Random(0)
    found = []
    for _ in range(DRAWS):
        names = drawn.choices(test.images, k=len(test.images))
        curves = [
            attrs.evolve(item, curve=mean_curve(p for name in names for p in by_image[name]))
            for item, by_image in zip((anchor, test), points, strict=True)
        ]
        try:
            found.append(bd_rate(*curves, metric).percent)
        except LicframeError:
            return None
    cuts = statistics.quantiles(found, n=40)
    return cuts[0], cuts[-1]


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def context_table() -> str:
    """Return rates at equal latents as Markdown."""
    record = json.loads((SPEED.parent / "contexts.json").read_text())
    qualities = [str(q) for q in record["qualities"]]
    lines = [
        f"| context | rate | {' | '.join(f'quality {q}' for q in qualities)} | serial passes |",
        f"|---|---|{'---|' * len(qualities)}---|",
    ]
    for item in record["contexts"]:
        cells = " | ".join(f"{item['by_quality'][q]:+.1%}" for q in qualities)
        passes = item["serial_passes_768x512"]
        lines.append(f"| {item['context']} | {item['against_first']:+.1%} | {cells} | {passes} |")
    return "\n".join(lines)


def decoder_table() -> str:
    """Return what every synthesis costs and saves, as Markdown."""
    record = json.loads((SPEED.parent / "decoders.json").read_text())
    sizes = [key for key in record["decoders"][0] if "x" in key]
    lines = [
        (
            f"| synthesis | kMAC/px | fewer | {' | '.join(f'{size} s | faster' for size in sizes)} | "
            "BD-rate, teacher's files | BD-rate, own files |"
        ),
        f"|---|---|---|{'---|---|' * len(sizes)}---|---|",
    ]
    most = record["decoders"][0]["kmac"]
    for row in record["decoders"]:
        cells = [f"`{row['synthesis']}`", f"{row['kmac']}", f"{most / row['kmac']:.1f}x"]
        for size in sizes:
            cells += [f"{row[size]['seconds']:.3f}", f"{row[size]['times_faster']:.1f}x"]
        for files in ("same files", "own files"):
            found = row.get(files)
            cells.append(f"{found['psnr']:+.1f} % (MS-SSIM {found['ms_ssim']:+.1f} %)" if found else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def preview_table() -> str:
    """Return what previews show as Markdown."""
    record = json.loads(PREVIEWS.read_text())
    shares = record["shown"]
    heads = ["quality", "bytes", *(f"{share:.0%}" for share in shares)]
    heads += [f"`--preview {number}`" for number in record["levels_left_out"]]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for file in record["files"]:
        by_share = dict(zip(record["shares"], file["psnr_by_share"], strict=True))
        cells = [by_share[share] for share in shares] + file["psnr_by_levels_left_out"]
        numbers = " | ".join(f"{value:.1f}" for value in cells)
        lines.append(f"| {file['quality']} | {file['bytes']} | {numbers} |")
    return "\n".join(lines)


def preview_plot() -> str:
    """Return the plot of the same."""
    record = json.loads(PREVIEWS.read_text())
    curves = [
        (f"quality {file['quality']}{', with details' * file['details']}", file["psnr_by_share"])
        for file in record["files"]
    ]
    return plots.progress(record["shares"], curves)


BLOCKS = {
    "front": front_table,
    "previews": preview_table,
    "decoders": decoder_table,
    "contexts": context_table,
    "bd-psnr": lambda: bd_table("psnr"),
    "bd-high": lambda: bd_table("psnr", HIGH, ("jpeg", "avif", "jxl")),
    "bd-ms-ssim": lambda: bd_table("ms_ssim"),
    "bd-ssimulacra2": lambda: bd_table("ssimulacra2", ANY, SEEN_AGAINST, SEEN),
    "curves": curve_table,
    "spread": spread_table,
    "speed": speed_table,
    "speed-serial": lambda: speed_table(SERIAL),
}


def filled(text: str) -> str:
    """Return a document with every ``<!-- results NAME -->`` block remade."""

    def block(match: re.Match[str]) -> str:
        return f"<!-- results {match[1]} -->\n{BLOCKS[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- results ([\w-]+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def write_tables() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "results" / "README.md"):
        write_atomically(page, filled(page.read_text()))
    profiles, everything = load()
    shown = [*profiles, *(everything[a] for a in ANCHORS if a in everything)]
    write_atomically(PREVIEWS.with_suffix(".svg"), preview_plot())
    for metric in METRICS:
        plot = FOLDER.parent / f"kodak-{metric.replace('_', '-')}.svg"
        write_atomically(plot, plots.rate_distortion(shown, metric))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder that holds kodak/")
    parser.add_argument(
        "--only", nargs="+", choices=(*BASELINES, *PROFILES), help="of the codecs; no speed"
    )
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    args = parser.parse_args()
    if not args.tables:
        keep_freed()
        measure(args.data, args.only or (*BASELINES, *PROFILES))
        if not args.only:
            measure_speed(args.data)
    write_tables()


if __name__ == "__main__":
    main()
