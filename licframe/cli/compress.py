"""``licframe compress`` and ``licframe decompress``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
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
    Overwrite,
    Profile,
    Psnr,
    Quality,
    Quiet,
    Size,
    SkipExisting,
    Ssimulacra2,
    Strip,
    print_json,
    refuse_beside_lossless,
)
from licframe.profile import DEFAULT_PROFILE
from licframe.runtime.limits import DEFAULT

if TYPE_CHECKING:
    from licframe.batch.coding import Coded, Compressing
    from licframe.picture.images import Picture


def compress(
    context: typer.Context,
    images: Annotated[list[Path], typer.Argument(help="Pictures; - is standard input.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A .lic file, a folder, or -; beside the picture if left out.",
        ),
    ] = None,
    profile: Profile = DEFAULT_PROFILE,
    quality: Quality = None,
    bpp: Bpp = None,
    size: Size = None,
    psnr: Psnr = None,
    ssimulacra2: Ssimulacra2 = None,
    lossless: Lossless = False,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile",
            metavar="PIXELS",
            help="Cut the picture into tiles of such a side, 0 for none; 1024 above 16 megapixels if left out.",
        ),
    ] = None,
    overrides: Overrides = None,
    device: Device = "cpu",
    strip: Strip = False,
    first_frame: FirstFrame = False,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=1, help="Processes that share several pictures; with 1 this one does all."
        ),
    ] = 1,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write a .lic file where -o names one of another kind.")
    ] = False,
    limit: Limit = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compress pictures to .lic files.

    Without -o each file is written beside its picture.

    Example: licframe compress *.png -o small/ -q 30
    """
    from licframe.batch.coding import Compressing
    from licframe.codec import scale
    from licframe.codec.target import Target
    from licframe.profile.profile import LatentProfile, load_profile

    if lossless:
        refuse_beside_lossless(context)
        profile = "lossless"
    cut = [] if tile is None else [f"encoder.tile={tile}", "encoder.tiled_above=0"]
    coder = Compressing(
        profile=profile,
        overrides=(*(overrides or ()), *cut),
        target=Target(quality=quality, bpp=bpp, size=size, psnr=psnr, ssimulacra2=ssimulacra2),
        limits=DEFAULT.with_settings(limit or []),
        device=device,
        strip=strip,
        first_frame=first_frame,
    )
    checked = load_profile(profile, coder.overrides)  # mistakes show first
    if quality is not None and isinstance(checked, LatentProfile):  # other codecs have scales of their own
        scale.whole(quality)
    images, output = streams.inputs_and_output(images, output, {".lic"})
    inputs = streams.sources(images, "*.png")
    paths = streams.targets(inputs, output, ".lic")
    if not force:
        _refuse_name_of_picture(paths)
    numbers = streams.to_write(inputs, paths, overwrite=overwrite, skip_existing=skip_existing)
    say = streams.reporter(paths, quiet, as_json)
    records: list[dict[str, Any]] = []

    def work(number: int) -> None:
        source, path = inputs[number], paths[number]
        made = result_of(number)
        streams.write(path, made.data)
        record = {
            "image": str(source),
            "file": str(path),
            "bytes": len(made.data),
            "bpp": made.bpp,
            "quality": made.quality,
            "lossless": made.lossless,
            "notes": list(made.notes),
            "seconds": made.seconds,
        }
        records.append(record)
        say(
            f"{path}: {record['bytes']} bytes, {record['bpp']:.3f} bpp, quality {made.quality}, "
            f"{record['seconds']:.2f} s" + "".join(f"; {note}" for note in made.notes)
        )

    workers = min(workers, len(numbers))
    ahead = _ahead(coder, inputs, numbers, workers) if workers > 1 else None
    with ahead or nullcontext(_one_by_one(coder, inputs, numbers)) as result_of:
        try:
            streams.for_each(inputs, numbers, work)
        finally:
            if as_json:
                print_json(records)


def _one_by_one(
    coder: Compressing, inputs: Sequence[Path], numbers: Sequence[int]
) -> Callable[[int], Coded]:
    """Return what returns the file of an input, or raises why there is none."""

    def picture(number: int) -> Picture:
        source = inputs[number]
        return coder.picture(source if source != streams.STREAM else streams.read(source))

    # The only picture is read before the codec is loaded: most mistakes then show at once.
    ready = [picture(0)] if len(inputs) == 1 and numbers else []
    coder.ready()
    return lambda number: coder.encoded(ready.pop() if ready else picture(number))


@contextmanager
def _ahead(
    coder: Compressing, inputs: Sequence[Path], numbers: Sequence[int], workers: int
) -> Iterator[Callable[[int], Coded]]:
    """Give the same, to be called in the order of ``numbers``; workers go ahead."""
    from licframe.batch.coding import Attempts, Outcome
    from licframe.batch.engines import Lost, engine_named
    from licframe.errors import LicframeError

    sources = [streams.read(path) if path == streams.STREAM else path for path in inputs]
    engine = engine_named("local", workers, 0)

    with closing(engine.run(Attempts(coder), [sources[number] for number in numbers])) as results:
        place, first = next(results)  # a codec that cannot be had is no error of one picture
        arrived: dict[int, Outcome | Lost] = {numbers[place]: first}

        def result_of(number: int) -> Coded:
            while number not in arrived:
                try:
                    place, outcome = next(results)
                except StopIteration:
                    raise LicframeError("nothing was made of it, for a worker could not go on") from None
                arrived[numbers[place]] = outcome
            found = arrived.pop(number)
            if isinstance(found, Lost):
                raise LicframeError("its worker died twice, as if killed or out of memory")
            for category, text in found.warned:
                warnings.warn(text, category, stacklevel=2)
            if found.coded is None:
                raise found.error or LicframeError("nothing was made of it")
            return found.coded

        yield result_of


def _refuse_name_of_picture(paths: Sequence[Path]) -> None:
    from licframe.errors import UsageError

    for path in paths:
        if path.suffix.lower() in streams.PICTURES:
            raise UsageError(
                f"{path} would hold a .lic file under the name of another kind; use -o {path.with_suffix('.lic')}, or "
                "insist with --force"
            )


def _picture_file(picture: Picture, path: Path, quality: int | None, *, small: bool) -> bytes:
    """Return a picture as the suffix of its path says; say what it loses by that, unless that was asked for."""
    from licframe.errors import LicframeWarning
    from licframe.picture.writing import loss

    suffix = path.suffix.lower() or ".png"
    data = picture.encode(suffix, str(path), quality=quality, small=small)
    if quality is None and (lost := loss(suffix)):
        warnings.warn(f"{path} loses {lost}; a .png keeps everything", LicframeWarning, stacklevel=2)
    return data


def _region(text: str) -> tuple[int, ...]:
    from licframe.errors import UsageError

    try:
        numbers = tuple(int(number) for number in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4:
        raise UsageError(f"--region {text}: write X,Y,WIDTH,HEIGHT in pixels, for example 100,0,640,480")
    return numbers


def decompress(
    files: Annotated[list[Path], typer.Argument(help=".lic files; - is standard input.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A picture, whose suffix says its kind, a folder, or - for PNG; beside the file if left out.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", help="Profile that has the weights, if not a shipped one."),
    ] = None,
    decoder: Annotated[
        str | None, typer.Option("--decoder", help="Another synthesis for the same file, e.g. distilled.")
    ] = None,
    device: Device = "cpu",
    best_effort: Annotated[
        bool,
        typer.Option(
            "--best-effort",
            help="Do without metadata, alpha, details and tiles that are damaged, and without the end of the file.",
        ),
    ] = False,
    strip: Strip = False,
    quality: Annotated[
        int | None,
        typer.Option(
            "--quality",
            "-q",
            help="0 to 100, of a picture in JPEG, AVIF, WebP or PDF; 95 if left out, and WebP without loss.",
        ),
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="PNG files as small as they get; takes longer than decoding.")
    ] = False,
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="X,Y,WIDTH,HEIGHT",
            help="A part of the picture, in pixels; of a file in tiles only those that it needs are decoded.",
        ),
    ] = None,
    preview: Annotated[
        int | None,
        typer.Option(
            "--preview",
            min=0,
            metavar="N",
            help="Leave out the N finest levels; the file may be cut short, and 0 takes all that is there.",
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option("--depth", help="8: reduce 16 bits a sample to 8, for formats that hold no more."),
    ] = None,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    limit: Limit = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Decompress .lic files to PNG or another format.

    The suffix of the output says which; PNG is what is written without one.

    Example: licframe decompress photo.lic -o photo.png
    """
    from licframe.bitstream import container
    from licframe.errors import UsageError

    if depth not in (None, 8):
        raise UsageError(f"--depth {depth}: only 8 can be asked for; without it samples keep their depth")
    part = None if region is None else _region(region)
    limits = DEFAULT.with_settings(limit or [])
    files, output = streams.inputs_and_output(files, output, streams.PICTURES)
    inputs = streams.sources(files)
    # The only file is read before its output is looked at: what is no .lic file shows first.
    ready = []
    if len(inputs) == 1:
        with streams.naming(inputs[0]):
            ready = [streams.read_lic(inputs[0], limits)]
    paths = streams.targets(inputs, output, ".png")
    numbers = streams.to_write(inputs, paths, overwrite=overwrite, skip_existing=skip_existing)
    say = streams.reporter(paths, quiet, as_json)
    codecs: dict[tuple[str, bytes], Any] = {}
    records: list[dict[str, Any]] = []

    def work(number: int) -> None:
        source, path = inputs[number], paths[number]
        data = ready.pop() if ready else streams.read_lic(source, limits)
        # checked without torch: most damage then shows at once
        read = container.read(data, limits, best_effort=best_effort, prefix=preview is not None)
        header = read.header
        made_by = header.codec, header.fingerprint
        if made_by not in codecs:
            from licframe.codec.loading import load_for

            codecs[made_by] = load_for(header, profile, decoder, device=device)
        codec = codecs[made_by]
        if preview is not None:
            decoded = codec.decode_preview(data, preview, limits, best_effort=best_effort, region=part)
        elif part is None:
            decoded = codec.decode(data, limits, best_effort=best_effort)
        else:
            decoded = codec.decode_region(data, part, limits, best_effort=best_effort)
        picture = attrs.evolve(decoded.picture, metadata={}) if strip else decoded.picture
        picture = picture.to_8_bit() if depth == 8 else picture
        streams.write(path, _picture_file(picture, path, quality, small=small))
        seconds = sum(decoded.seconds.values())
        records.append(
            {"file": str(source), "image": str(path), "seconds": seconds, "damage": list(decoded.damage)}
        )
        shown = f"{picture.size[0]}x{picture.size[1]} {header.mode}" + " 16-bit" * (header.depth == 16)
        say(f"{path}: {shown}, {seconds:.2f} s" + "".join(f"; {what}" for what in decoded.damage))

    try:
        streams.for_each(inputs, numbers, work)
    finally:
        if as_json:
            print_json(records)
