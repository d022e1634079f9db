"""``licframe compress`` and ``licframe decompress``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from licframe.cli.options import (
    Bpp,
    Json,
    MaxPixels,
    Overrides,
    Overwrite,
    Psnr,
    Quality,
    Size,
    output_paths,
    print_json,
)
from licframe.limits import MAX_PIXELS


def compress(
    images: Annotated[list[Path], typer.Argument(help="Pictures: 8-bit RGB or grey.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .lic file, or a folder; beside the picture if left out."),
    ] = None,
    profile: Annotated[str, typer.Option("--profile", "-p", help="Name or TOML file.")] = "balanced",
    quality: Quality = None,
    bpp: Bpp = None,
    size: Size = None,
    psnr: Psnr = None,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    as_json: Json = False,
) -> None:
    """Compress pictures to .lic files."""
    from licframe.profile import load_profile
    from licframe.rate import Target

    target = Target(quality=quality, bpp=bpp, size=size, psnr=psnr)
    checked = load_profile(profile, overrides or ())

    from licframe.images import read_picture, write_atomically

    paths = output_paths(images, output, ".lic", overwrite)
    pictures = [read_picture(source, max_pixels) for source in images[:1]]

    from licframe.loading import load

    codec = load(checked)
    records = []
    for source, path in zip(images, paths, strict=True):
        # The first was read before the codec was loaded: most mistakes then show at once.
        picture = pictures.pop() if pictures else read_picture(source, max_pixels)
        encoded = codec.encode(picture, target)
        write_atomically(path, encoded.data)
        width, height = picture.size
        record = {
            "image": str(source),
            "file": str(path),
            "bytes": len(encoded.data),
            "bpp": 8 * len(encoded.data) / (width * height),
            "quality": encoded.quality,
            "seconds": sum(encoded.seconds.values()),
        }
        records.append(record)
        if not as_json:
            typer.echo(
                f"{path}: {record['bytes']} bytes, {record['bpp']:.3f} bpp, quality {encoded.quality}, "
                f"{record['seconds']:.2f} s"
            )
    if as_json:
        print_json(records)


def decompress(
    files: Annotated[list[Path], typer.Argument(help=".lic files.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A picture, or a folder; beside the file if left out."),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", help="Profile that has the weights, if not a shipped one."),
    ] = None,
    decoder: Annotated[
        str | None, typer.Option("--decoder", help="Another synthesis for the same file, e.g. distilled.")
    ] = None,
    overwrite: Overwrite = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    as_json: Json = False,
) -> None:
    """Decompress .lic files to PNG, or to what the suffix of the output says."""
    from licframe import container
    from licframe.errors import LicframeError, located
    from licframe.images import read_file

    paths = output_paths(files, output, ".png", overwrite)
    codecs = {}
    records = []
    for source, path in zip(files, paths, strict=True):
        data = read_file(source)
        try:
            header = container.read(data, max_pixels).header
            if header.fingerprint not in codecs:
                from licframe.loading import load_for

                codecs[header.fingerprint] = load_for(header, profile, decoder)
            decoded = codecs[header.fingerprint].decode(data, max_pixels)
        except LicframeError as error:
            raise located(error, str(source)) from error
        decoded.picture.save(path)
        seconds = sum(decoded.seconds.values())
        records.append({"file": str(source), "image": str(path), "seconds": seconds})
        if not as_json:
            typer.echo(f"{path}: {header.width}x{header.height} {header.mode}, {seconds:.2f} s")
    if as_json:
        print_json(records)
