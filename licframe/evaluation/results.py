"""Rate-distortion results: what is measured, how it is stored, mean curves.

One JSON file holds one codec on one data set (schema ``licframe-rd-1``)::

    schema       "licframe-rd-1"
    codec        name: a profile, a baseline or a published curve
    kind         "profile", "baseline" or "published"
    version      what exactly ran: package and weights, library version, or what the source says
    dataset      name of the data set
    source       where a published curve comes from
    note         how it was measured, where it was not measured here
    environment  machine and packages of a measurement
    complexity   parameters, kMAC per pixel, serial passes; profiles only
    points       one for each image and quality (see Point); measured codecs only
    curve        means over the images, by rate: bpp, the metrics, encode_seconds, decode_seconds

bpp is bytes of the file * 8 / pixels of the original image. psnr is over 8-bit RGB samples in dB, null
where they are equal, ms_ssim linear in [0, 1], ssimulacra2 its score, both null where they were not measured; means over images are means of these, as in most papers. Seconds are wall clock.
"""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import cattrs

from licframe.errors import ResultsError
from licframe.runtime.atomic import to_json, write_atomically

SCHEMA = "licframe-rd-1"


@attrs.frozen
class Point:
    """One image at one quality: bytes and bpp of the real file, fidelity of what it decodes to."""

    image: str
    width: int
    height: int
    quality: float
    bytes: int
    bpp: float
    psnr: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float
    ssimulacra2: float | None = None


@attrs.frozen
class Mean:
    """A point of a mean curve."""

    bpp: float
    psnr: float
    ms_ssim: float | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    quality: float | None = None
    ssimulacra2: float | None = None


@attrs.frozen
class Results:
    """One codec on one data set; fields as in the module's text."""

    codec: str
    kind: str
    version: str
    dataset: str
    source: str = ""
    note: str = ""
    environment: dict[str, Any] = attrs.field(factory=dict)
    complexity: dict[str, Any] = attrs.field(factory=dict)
    points: tuple[Point, ...] = ()
    curve: tuple[Mean, ...] = ()

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the measured images, sorted."""
        return tuple(sorted({point.image for point in self.points}))


def mean_curve(points: Iterable[Point]) -> tuple[Mean, ...]:
    """Return means over images at each quality that all images have, by ascending bpp."""
    by_quality: dict[float, list[Point]] = {}
    for point in points:
        by_quality.setdefault(point.quality, []).append(point)
    most = max(map(len, by_quality.values()), default=0)
    means = []
    for quality, same in by_quality.items():
        if len(same) < most:
            continue  # a measurement that is not finished
        means.append(
            Mean(
                bpp=statistics.fmean(p.bpp for p in same),
                psnr=statistics.fmean(p.psnr for p in same),
                ms_ssim=_mean([p.ms_ssim for p in same]),
                ssimulacra2=_mean([p.ssimulacra2 for p in same]),
                encode_seconds=statistics.fmean(p.encode_seconds for p in same),
                decode_seconds=statistics.fmean(p.decode_seconds for p in same),
                quality=quality,
            )
        )
    return tuple(sorted(means, key=lambda mean: mean.bpp))


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of what was measured of all."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def save(results: Results, path: Path) -> None:
    """Write a results file, one point a line."""
    head = attrs.asdict(results)
    points, curve = head.pop("points"), head.pop("curve")
    lines = [f" {to_json(k)}: {to_json(v)}" for k, v in {"schema": SCHEMA, **head}.items() if v]
    for name, rows in (("curve", curve), ("points", points)):
        if rows:
            body = ",\n".join(f"  {to_json({k: _short(v) for k, v in row.items()})}" for row in rows)
            lines.append(f' "{name}": [\n{body}\n ]')
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def load(path: Path) -> Results:
    """Read a results file.

    Raises:
        ResultsError: it is missing, not JSON, or of another schema.
    """
    try:
        record = json.loads(path.read_text("utf-8"))
        schema = record.pop("schema", None)
        if schema != SCHEMA:
            raise ResultsError(
                f"{path} has schema {schema!r}; expected {SCHEMA}, as licframe bench rd writes"
            )
        for row in (*record.get("curve", ()), *record.get("points", ())):
            if row["psnr"] is None:  # JSON has no infinity
                row["psnr"] = math.inf
        results: Results = cattrs.Converter(forbid_extra_keys=True).structure(record, Results)
    except OSError as error:
        raise ResultsError(f"cannot read results {path}: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, KeyError, cattrs.BaseValidationError) as error:
        raise ResultsError(f"{path} holds no results: {error}; make them with licframe bench rd") from error
    return results


def load_all(paths: Sequence[Path]) -> list[Results]:
    """Read results files, and every one in folders.

    Raises:
        ResultsError: there is none, one is broken, or two are of codecs of one name.
    """
    files = [f for path in paths for f in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    if not files:
        raise ResultsError(f"no results in {', '.join(map(str, paths))}; make them with licframe bench rd")
    found: dict[str, tuple[Path, Results]] = {}
    for file in files:
        results = load(file)
        other, _ = found.setdefault(results.codec, (file, results))
        if other != file:
            raise ResultsError(
                f'{other} and {file} both hold results of "{results.codec}"; name one of them'
            )
    return [results for _, results in found.values()]


def to_csv(results: Iterable[Results]) -> str:
    """Return the points of several codecs as CSV: codec, dataset, and the fields of Point."""
    out = io.StringIO()
    names = [field.name for field in attrs.fields(Point)]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["codec", "dataset", *names])
    for item in results:
        for point in item.points:
            writer.writerow([item.codec, item.dataset, *(_short(getattr(point, n)) for n in names)])
    return out.getvalue()


def _short(value: Any) -> Any:
    """Return floats with seven significant digits."""
    return float(f"{value:.7g}") if isinstance(value, float) else value
