"""``licframe batch``: all pictures of a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licframe.cli import streams
from licframe.cli.options import (
    Bpp,
    Device,
    FirstFrame,
    Json,
    Limit,
    Lossless,
    Overrides,
    Profile,
    Psnr,
    Quality,
    Quiet,
    Size,
    Ssimulacra2,
    Strip,
    given,
    print_json,
    refuse_beside_lossless,
)
from licframe.profile import DEFAULT_PROFILE
from licframe.runtime.limits import DEFAULT
from licframe.runtime.progress import Bar, progress_bar

if TYPE_CHECKING:
    from licframe.batch.coding import Coder
    from licframe.batch.engines import Engine
    from licframe.batch.run import Batch, Tally
    from licframe.errors import LicframeError

_PICTURES = streams.PICTURES - {".pdf"}  # those are only written
_WORKER_BYTES = 700 * 2**20
"""Memory of a worker with torch and a codec, and no picture."""
_REPORT_SECONDS = 60.0


def batch(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The folder of pictures.")],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="The folder of the results and of the manifest.")
    ],
    decompress: Annotated[
        bool, typer.Option("--decompress", help="From .lic files to pictures; -q is then that of a JPEG.")
    ] = False,
    to: Annotated[
        str, typer.Option("--to", help="What --decompress writes: png, or tiff, webp, jpg, avif, ...")
    ] = "png",
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            metavar="PATTERN",
            help="Only files whose name, or path in SRC, fits, e.g. '*.png' or 'scans/*'; pictures if left out.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Not those that fit.")
    ] = None,
    profile: Profile = DEFAULT_PROFILE,
    quality: Quality = None,
    bpp: Bpp = None,
    size: Size = None,
    psnr: Psnr = None,
    ssimulacra2: Ssimulacra2 = None,
    lossless: Lossless = False,
    overrides: Overrides = None,
    device: Device = "cpu",
    strip: Strip = False,
    first_frame: FirstFrame = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Decode every file, and record its PSNR.")
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            "--engine", help="Who works: local, processes of this machine; ray, machines of a Ray cluster."
        ),
    ] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="ADDRESS",
            help="The cluster of --engine ray: host:port, or auto, that of this machine; one is started if left out.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="Processes, each with one thread; as many as cores and memory allow."
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace files that exist, and those of other settings."),
    ] = False,
    limit: Limit = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compress or decompress a folder; go on where it ended.

    Folders within SRC are kept in DST. a.png becomes a.png.lic: the whole name stays, so that a.jpg beside it has a file
    of its own. Back, a.png.lic becomes a.png, and a.jpg.lic a.jpg.png.

    DST/licframe-batch.jsonl records every file. The same command again does what is not done, has failed, or has changed.

    Example: licframe batch photos/ small/ -q 30
    """
    from licframe.batch.coding import Compressing, Decompressing
    from licframe.codec.target import Target
    from licframe.errors import UsageError

    if ray_address is not None and engine != "ray":
        raise UsageError("--ray-address is for --engine ray; add that, or leave it out")
    limits = DEFAULT.with_settings(limit or [])
    coder: Coder
    if decompress:
        _refuse_beside_decompress(context, to)
        coder = Decompressing(
            suffix="." + to.lower().lstrip("."),
            quality=quality,
            profile=profile if given(context, "profile") else None,
            limits=limits,
            device=device,
            strip=strip,
        )
    else:
        if lossless:
            refuse_beside_lossless(context)
        coder = Compressing(
            profile="lossless" if lossless else profile,
            overrides=tuple(overrides or ()),
            target=Target(quality=quality, bpp=bpp, size=size, psnr=psnr, ssimulacra2=ssimulacra2),
            limits=limits,
            device=device,
            strip=strip,
            first_frame=first_frame,
            measure=measure,
        )
    todo = _todo(source, destination, coder, include or [], exclude or [], overwrite=overwrite)
    own = {} if ray_address is None else {"address": ray_address}
    crew = _engine(engine, workers, [source / pair.input for pair in todo.pairs], device, own)
    try:
        tally = _run(todo, crew, quiet=quiet or as_json)
    except KeyboardInterrupt:
        typer.echo("licframe: interrupted; the same command goes on", err=True)
        raise
    _print(todo, tally, crew.workers, quiet=quiet, as_json=as_json)
    if tally.exit_code:
        raise typer.Exit(tally.exit_code)


def _refuse_beside_decompress(context: typer.Context, to: str) -> None:
    from licframe.errors import UsageError

    names = ("bpp", "size", "psnr", "ssimulacra2", "lossless", "overrides", "first_frame", "measure")
    if found := given(context, *names):
        raise UsageError(f"--decompress does not go with {' and '.join(found)}; leave out either")
    if f".{to.lower().lstrip('.')}" not in streams.PICTURES:
        raise UsageError(f"--to {to}: no kind of picture; use png, or tiff, webp, jpg, avif")


def _todo(
    source: Path,
    destination: Path,
    coder: Coder,
    include: Sequence[str],
    exclude: Sequence[str],
    *,
    overwrite: bool,
) -> Batch:
    from licframe.batch.coding import Decompressing
    from licframe.batch.files import compressed_name, decompressed_name, found_in, pairs
    from licframe.batch.run import Batch

    rename: Callable[[str], str]
    if isinstance(coder, Decompressing):
        suffixes, rename = {".lic"}, partial(decompressed_name, suffix=coder.suffix)
    else:
        suffixes, rename = set(_PICTURES), compressed_name
    names = found_in(source, suffixes, include, exclude, beside=destination)
    return Batch(
        source=source,
        destination=destination,
        pairs=pairs(names, rename),
        coder=coder,
        overwrite=overwrite,
    )


def _engine(
    name: str, workers: int | None, inputs: Sequence[Path], device: str, own: Mapping[str, str]
) -> Engine:
    """Return an engine whose workers have room for the largest picture each."""
    from licframe.batch.coding import pixels_of
    from licframe.batch.engines import engine_named
    from licframe.batch.files import largest

    if workers is None and device != "cpu":  # nobody knows what a GPU has room for
        workers = 1
    memory = _WORKER_BYTES + DEFAULT.memory_for(pixels_of(largest(inputs)))
    return engine_named(name, workers and min(workers, len(inputs)), memory, **own)


def _run(todo: Batch, engine: Engine, *, quiet: bool) -> Tally:
    """Run a batch, and show how far it is: on a terminal in a bar, elsewhere in a line from time to time."""
    if quiet:
        return todo.run(engine, _Teller(None, silent=True))
    with progress_bar(todo.settings["command"]) as bar:
        return todo.run(engine, _Teller(bar))


class _Teller:
    """Says how far a batch is, and what failed."""

    def __init__(self, bar: Bar | None, *, silent: bool = False) -> None:
        self.bar, self.silent = bar, silent
        self.last = time.monotonic()

    def __call__(self, tally: Tally, error: LicframeError | None) -> None:
        if error is not None:
            said = f"licframe: {error}"
            self.bar.remark(said) if self.bar else typer.echo(said, err=True)
        speed = f"{tally.rate:.2f} images/s"
        if self.bar is not None:
            self.bar.update(tally.ended, tally.files, speed)
        elif (
            not self.silent and tally.ended < tally.files and time.monotonic() - self.last > _REPORT_SECONDS
        ):
            self.last = time.monotonic()
            left = tally.seconds / tally.ended * (tally.files - tally.ended) / 60
            typer.echo(f"{tally.ended} of {tally.files}, {speed}, {left:.0f} minutes left", err=True)


def _print(todo: Batch, tally: Tally, workers: int, *, quiet: bool, as_json: bool) -> None:
    failed = len(tally.failed)
    if as_json:
        print_json(
            {
                "files": tally.files,
                "done": tally.done,
                "unchanged": tally.unchanged,
                "failed": failed,
                "bytes": tally.bytes,
                "pixels": tally.pixels,
                "seconds": tally.seconds,
                "images_per_second": tally.rate,
                "workers": workers,
                "manifest": str(todo.manifest),
            }
        )
    elif not quiet:
        made = f"{tally.done} done, {tally.unchanged} as before, {failed} failed"
        size = f"; {tally.bytes} bytes" if tally.done else ""
        typer.echo(
            f"{todo.destination}: {made}{size}; {tally.seconds:.1f} s, {tally.rate:.2f} images/s with {workers} "
            f"worker{'s' * (workers > 1)}"
        )
