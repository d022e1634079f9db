"""``licframe compress`` and ``licframe decompress``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from licframe.cli import streams
from licframe.cli.options import (
    Bpp,
    Device,
    Json,
    Limit,
    Overrides,
    Overwrite,
    Profile,
    Psnr,
    Quality,
    Quiet,
    Size,
    SkipExisting,
    Ssimulacra2,
    print_json,
)
from licframe.runtime.limits import DEFAULT

if TYPE_CHECKING:
    from licframe.codec.interface import ImageCodec
    from licframe.picture.images import Picture
    from licframe.profile import profile as profiles


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
    profile: Profile = "balanced",
    quality: Quality = None,
    bpp: Bpp = None,
    size: Size = None,
    psnr: Psnr = None,
    ssimulacra2: Ssimulacra2 = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Keep every sample: the profile lossless.")
    ] = False,
    overrides: Overrides = None,
    device: Device = "cpu",
    strip: Annotated[bool, typer.Option("--strip", help="Leave out ICC, EXIF and XMP.")] = False,
    first_frame: Annotated[
        bool, typer.Option("--first-frame", help="Take the first frame of an animation.")
    ] = False,
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
    from licframe.codec.target import Target
    from licframe.profile.profile import load_profile

    if lossless:
        _refuse_beside_lossless(context)
        profile = "lossless"
    target = Target(quality=quality, bpp=bpp, size=size, psnr=psnr, ssimulacra2=ssimulacra2)
    checked = load_profile(profile, overrides or ())
    limits = DEFAULT.with_settings(limit or [])
    images, output = streams.inputs_and_output(images, output, {".lic"})
    inputs = streams.sources(images, "*.png")
    paths = streams.targets(inputs, output, ".lic")
    if not force:
        _refuse_name_of_picture(paths)
    numbers = streams.to_write(inputs, paths, overwrite=overwrite, skip_existing=skip_existing)
    say = streams.reporter(paths, quiet, as_json)

    from licframe.picture.images import read_picture

    def picture_of(source: Path) -> Picture:
        data = source if source != streams.STREAM else streams.read(source)
        picture = read_picture(data, limits, first_frame=first_frame)
        return attrs.evolve(picture, metadata={}) if strip else picture

    # The only picture is read before the codec is loaded: most mistakes then show at once.
    ready = [picture_of(inputs[0])] if len(inputs) == 1 and numbers else []

    codec = _codec_of_lic_files(checked, device)
    records: list[dict[str, Any]] = []

    def work(number: int) -> None:
        source, path = inputs[number], paths[number]
        picture = ready.pop() if ready else picture_of(source)
        encoded = codec.encode(picture, target)
        streams.write(path, encoded.data)
        width, height = picture.size
        record = {
            "image": str(source),
            "file": str(path),
            "bytes": len(encoded.data),
            "bpp": 8 * len(encoded.data) / (width * height),
            "quality": encoded.quality,
            "lossless": encoded.lossless,
            "notes": list(encoded.notes),
            "seconds": sum(encoded.seconds.values()),
        }
        records.append(record)
        say(
            f"{path}: {record['bytes']} bytes, {record['bpp']:.3f} bpp, quality {encoded.quality}, "
            f"{record['seconds']:.2f} s" + "".join(f"; {note}" for note in encoded.notes)
        )

    try:
        streams.for_each(inputs, numbers, work)
    finally:
        if as_json:
            print_json(records)


def _refuse_name_of_picture(paths: Sequence[Path]) -> None:
    from licframe.errors import UsageError

    for path in paths:
        if path.suffix.lower() in streams.PICTURES:
            raise UsageError(
                f"{path} would hold a .lic file under the name of another kind; use -o {path.with_suffix('.lic')}, or "
                "insist with --force"
            )


def _is_given(context: typer.Context, name: str) -> bool:
    """Say whether an option is the user's, and not its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _refuse_beside_lossless(context: typer.Context) -> None:
    from licframe.errors import UsageError

    names = ("profile", "quality", "bpp", "size", "psnr", "ssimulacra2")
    given = [f"--{name}" for name in names if _is_given(context, name)]
    if given:
        raise UsageError(
            f"--lossless does not go with {' and '.join(given)}: every sample is kept; leave out either"
        )


def _codec_of_lic_files(profile: profiles.Profile, device: str) -> ImageCodec:
    from licframe.codec.loading import load
    from licframe.errors import UsageError

    codec = load(profile, device=device)
    if codec.suffix != ".lic":
        raise UsageError(
            f"{profile.name} is a codec of {codec.suffix} files, which licframe decompress does not read; measure it "
            "with licframe run, or name a profile of .lic files"
        )
    return codec


def _picture_file(picture: Picture, path: Path, quality: int | None, *, small: bool) -> bytes:
    """Return a picture as the suffix of its path says; say what it loses by that, unless that was asked for."""
    from licframe.errors import LicframeWarning
    from licframe.picture.writing import loss

    suffix = path.suffix.lower() or ".png"
    data = picture.encode(suffix, str(path), quality=quality, small=small)
    if quality is None and (lost := loss(suffix)):
        warnings.warn(f"{path} loses {lost}; a .png keeps everything", LicframeWarning, stacklevel=2)
    return data


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
        bool, typer.Option("--best-effort", help="Do without metadata, alpha and details that are damaged.")
    ] = False,
    strip: Annotated[bool, typer.Option("--strip", help="Leave out ICC, EXIF and XMP.")] = False,
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
        header = container.read(data, limits, best_effort=best_effort).header
        made_by = header.codec, header.fingerprint
        if made_by not in codecs:
            from licframe.codec.loading import load_for

            codecs[made_by] = load_for(header, profile, decoder, device=device)
        decoded = codecs[made_by].decode(data, limits, best_effort=best_effort)
        picture = attrs.evolve(decoded.picture, metadata={}) if strip else decoded.picture
        picture = picture.to_8_bit() if depth == 8 else picture
        streams.write(path, _picture_file(picture, path, quality, small=small))
        seconds = sum(decoded.seconds.values())
        records.append(
            {"file": str(source), "image": str(path), "seconds": seconds, "damage": list(decoded.damage)}
        )
        shown = f"{header.width}x{header.height} {header.mode}" + " 16-bit" * (header.depth == 16)
        say(f"{path}: {shown}, {seconds:.2f} s" + "".join(f"; {what}" for what in decoded.damage))

    try:
        streams.for_each(inputs, numbers, work)
    finally:
        if as_json:
            print_json(records)
