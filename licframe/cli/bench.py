"""``licframe bench``: measure codecs against each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from licframe.cli import streams
from licframe.cli.grouping import grouped
from licframe.cli.options import Device, Json, Overrides, Overwrite, print_json, print_table

bench = typer.Typer(
    help="Measure rate-distortion and speed.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

Codecs = Annotated[
    list[str], typer.Argument(help="Profiles, baselines (see licframe plugins), or TOML files of either.")
]
Data = Annotated[
    Path, typer.Option("--data", envvar="LICFRAME_DATA", help="Folder that holds kodak/, clic/, tecnick/.")
]


_PICTURES = ("--images", "--data", "--image", "--sizes", "--count")
_RESULTS = ("--output", "--anchor", "--method", "--base", "--overwrite", "--json")
_MEASURING = (
    "--qualities",
    "--quality",
    "--repeats",
    "--workers",
    "--threads",
    "--set",
    "--device",
    "--profile",
)
_GROUPS = {"Pictures": _PICTURES, "Measuring": _MEASURING, "Results": _RESULTS}


@bench.command(cls=grouped(_GROUPS))
def rd(
    codecs: Codecs,
    images: Annotated[
        str, typer.Option("--images", help="kodak, clic, tecnick, or a folder of pictures.")
    ] = "kodak",
    data: Data = Path("data"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of results; results/IMAGES if left out.")
    ] = None,
    qualities: Annotated[
        str | None, typer.Option("--qualities", help="Comma-separated; each codec's own if left out.")
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option("--anchor", help="Codec or published curve for BD-rates; may be repeated."),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="Interpolation: pchip or akima.")] = "pchip",
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes; seconds are only comparable with 1.")
    ] = 1,
    overrides: Overrides = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Measure rate and distortion of codecs on real files.

    Pictures are decoded from the files. Writes one JSON file for each codec and points.csv with all of them; the profile.toml of a
    training run is called by its folder. An interrupted run goes on where it stopped.

    Example: licframe bench rd balanced jpeg --images photographs/ --anchor jpeg
    """
    from licframe.evaluation import datasets, results
    from licframe.evaluation import rd as measuring
    from licframe.evaluation.codecs import check_names, result_name
    from licframe.evaluation.metrics import METRICS

    check_names(codecs)
    dataset = datasets.find(images, data)
    folder = output or Path("results", dataset.name)
    ladder = numbers(qualities) if qualities else ()
    found = []
    for name in codecs:
        with _progress(result_name(name)) as advance:
            found.append(
                measuring.measure(
                    name,
                    dataset,
                    folder / f"{result_name(name)}.json",
                    overrides=tuple(overrides or ()),
                    qualities=ladder,
                    workers=workers,
                    device=device,
                    progress=advance,
                )
            )
    from licframe.runtime.atomic import write_atomically

    write_atomically(folder / "points.csv", results.to_csv(found))
    lines = _differences(found, anchor or [], dataset.name, folder, method)
    if as_json:
        print_json({"results": [str(folder / f"{r.codec}.json") for r in found], "bd_rate": lines})
        return
    for result in found:
        rows = [
            [
                f"{m.quality:g}",
                f"{m.bpp:.4f}",
                *(metric.shown(getattr(m, name)) for name, metric in METRICS.items()),
                f"{m.encode_seconds:.2f}",
                f"{m.decode_seconds:.2f}",
            ]
            for m in result.curve
        ]
        labels = [metric.label for metric in METRICS.values()]
        columns = ["quality", "bpp", *labels, "encode s", "decode s"]
        title = f"{result.codec} ({result.version}), {len(result.images)} images of {result.dataset}"
        print_table(title, columns, rows)
    for line in lines:
        typer.echo(f"{line['codec']}: {line['text']}")
    typer.echo(f"wrote {folder}")


@bench.command(cls=grouped(_GROUPS))
def speed(
    profiles: Annotated[list[str], typer.Argument(help="Profiles to time against each other.")],
    image: Annotated[
        Path | None,
        typer.Option("--image", help="Picture that is cropped and resampled; the sample if left out."),
    ] = None,
    sizes: Annotated[
        str, typer.Option("--sizes", help="Comma-separated WIDTHxHEIGHT.")
    ] = "768x512,1913x1361,3840x2160",
    base: Annotated[
        str | None, typer.Option("--base", help="Profile that ratios refer to; the first if left out.")
    ] = None,
    quality: Annotated[int, typer.Option("--quality", "-q", min=0, max=100, help="Of the files.")] = 50,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Counted rounds.")] = 5,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads; torch's choice if left out.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file to write.")] = None,
    overrides: Overrides = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Time encoding and decoding, stage by stage.

    With memory, MACs and ratios, in interleaved repeats.

    Example: licframe bench speed balanced fast --sizes 768x512
    """
    import torch

    from licframe.evaluation import speed as timing
    from licframe.evaluation.codecs import check_names
    from licframe.evaluation.datasets import sample_picture
    from licframe.picture.images import read_picture
    from licframe.runtime.atomic import write_json

    check_names(profiles)
    if output:
        streams.to_write([], [output], overwrite=overwrite)
    if threads:
        torch.set_num_threads(threads)
    pixels = read_picture(image or sample_picture()).to_rgb().pixels
    with _progress("rounds") as advance:
        timings = timing.measure(
            profiles,
            pixels,
            _sizes(sizes),
            base=base or profiles[0],
            quality=quality,
            repeats=repeats,
            overrides=overrides or (),
            device=device,
            progress=advance,
        )
    record = timing.to_record(timings, base or profiles[0], quality, repeats, device)
    if output:
        write_json(output, record)
    if as_json:
        print_json(record)
        return
    rows = [
        [
            t.profile,
            f"{t.width}x{t.height}",
            f"{t.encode:.3f} ({t.encode_ratio:.1f}x)",
            f"{t.decode:.3f} ({t.decode_ratio:.1f}x)",
            "-" if t.matrix_share is None else f"{t.matrix_share:.0%}",
            f"{t.complexity['kmac_encode']} / {t.complexity['kmac_decode']}",
            "-" if t.peak_mib is None else f"{t.peak_mib:.0f}",
            ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in t.decode_stages.items()),
        ]
        for t in timings
    ]
    columns = ["profile", "size", "encode s", "decode s", "products", "kMAC/px", "MiB", "decode stages, s"]
    note = f"medians of {repeats} rounds, {record['environment']['threads']} threads; ratios: {record['base']} over this; "
    note += "products: time in matrix products; kMAC/px: encoding / decoding"
    print_table("speed", columns, rows, note)


@bench.command(cls=grouped(_GROUPS))
def loss(
    sources: Annotated[
        list[str],
        typer.Argument(help="Profiles with weights; or weights files and checkpoints, of --profile."),
    ],
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", help="Of weights files and checkpoints; the first profile named."),
    ] = None,
    images: Annotated[
        str, typer.Option("--images", help="kodak, clic, tecnick, or a folder of pictures.")
    ] = "kodak",
    data: Data = Path("data"),
    count: Annotated[int, typer.Option("--count", min=1, help="Crops, of the pictures in turn.")] = 60,
    as_json: Json = False,
) -> None:
    """Show the training loss on fixed crops: does a run gain?

    Half a minute for crops of 256x256. One number for weights before and after a run, checkpoints included; lower is better. BD-rates need whole files
    (bench rd). Checkpoints are judged by their averaged weights.

    Example: licframe bench loss tiny runs/tiny/checkpoint.pt --images photographs/
    """
    from licframe.errors import UsageError
    from licframe.evaluation import datasets
    from licframe.profile.profile import latent_profile

    files = {source: Path(source) for source in sources if Path(source).suffix in (".pt", ".safetensors")}
    of = profile or next((source for source in sources if source not in files), None)
    if of is None:
        raise UsageError(f"name the profile that {', '.join(files)} belong to with --profile")
    profiles = {source: latent_profile(of if source in files else source) for source in sources}
    dataset = datasets.find(images, data)
    from licframe.training import development

    crops = development.crops(dataset.paths, count)
    records = []
    for source in sources:
        model = development.model_of(profiles[source], files.get(source))
        found = development.losses(model, crops)
        mean = sum(found) / len(found)
        by_quality = dict(zip(development.QUALITIES, found, strict=True))
        records.append({"source": source, "mean": mean, "by_quality": by_quality})
        if not as_json:
            text = " ".join(f"{quality}: {value:.4f}" for quality, value in by_quality.items())
            typer.echo(f"{mean:.4f}  {text}  {source}")
    if as_json:
        print_json(records)


def _sizes(text: str) -> list[tuple[int, int]]:
    from licframe.errors import UsageError

    found = []
    for word in text.split(","):
        width, times, height = word.strip().partition("x")
        if not (times and width.isdigit() and height.isdigit() and int(width) and int(height)):
            raise UsageError(
                f"--sizes {text}: expected WIDTHxHEIGHT separated by commas, for example 768x512"
            )
        found.append((int(width), int(height)))
    return found


def _differences(
    found: list[Any], anchors: list[str], dataset: str, folder: Path, method: str
) -> list[dict[str, Any]]:
    """Return BD-rates of all codecs against each anchor; an impossible one says why."""
    from licframe.errors import LicframeError
    from licframe.evaluation import bd, published, results

    measured = {result.codec: result for result in found}
    lines = []
    for name in anchors:
        if name in measured:
            anchor = measured[name]
        elif (folder / f"{name}.json").is_file():
            anchor = results.load(folder / f"{name}.json")
        else:
            anchor = published.curve(dataset, name)
        for result in found:
            if result.codec == anchor.codec:
                continue
            try:
                difference = bd.bd_rate(anchor, result, method=method)
                line = {"percent": difference.percent, "text": difference.describe()}
            except LicframeError as error:
                line = {"percent": None, "text": str(error)}
            lines.append({"codec": result.codec, "anchor": name, **line})
    return lines


def numbers(text: str, option: str = "--qualities") -> tuple[float, ...]:
    """Return comma-separated numbers that an option was given."""
    from licframe.errors import UsageError

    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text}: expected numbers separated by commas") from error


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show images done and the time left: a bar on a terminal, lines elsewhere."""
    from licframe.runtime.progress import progress_bar

    with progress_bar(name) as bar:
        yield progress_line(name) if bar is None else bar.update


def progress_line(name: str) -> Callable[[int, int], None]:
    """Return a function that writes a line with the time left to standard error."""
    begin = time.monotonic()
    first: list[int] = []

    def line(done: int, total: int) -> None:
        first.append(done)
        here = done - first[0] + 1
        left = (time.monotonic() - begin) / here * (total - done)
        typer.echo(f"{name}: {done} of {total}, {left:.0f} s left", err=True)

    return line
