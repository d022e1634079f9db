"""Options that several commands share, and their output."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change the profile, e.g. refiner.plugin=none."),
]
Quality = Annotated[
    int | None,
    typer.Option("--quality", "-q", help="0 (smallest file) to 100; 50 if nothing is asked for."),
]
Bpp = Annotated[float | None, typer.Option("--bpp", help="Largest rate, in bits per pixel.")]
Size = Annotated[int | None, typer.Option("--size", help="Largest file, in bytes.")]
Psnr = Annotated[float | None, typer.Option("--psnr", help="Least PSNR, in dB.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
MaxPixels = Annotated[int, typer.Option("--max-pixels", help="Refuse larger images.")]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2))


def print_table(title: str, columns: list[str], rows: list[list[str]], note: str = "") -> None:
    """Print a rich table; columns of plain text where the output is no terminal."""
    if not sys.stdout.isatty():
        _print_plain(title, columns, rows, note)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    if note:
        console.print(note, markup=False, highlight=False)


def _print_plain(title: str, columns: list[str], rows: list[list[str]], note: str) -> None:
    lines = [columns, *rows] if any(columns) else rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    typer.echo(title)
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if note:
        typer.echo(note)


def output_paths(sources: list[Path], output: Path | None, suffix: str, overwrite: bool) -> list[Path]:
    """Return where each result goes: beside its source, in a folder, or the file ``output``.

    A path without a suffix is a folder.

    Raises:
        ImageError: two results would have one name, or a file is there already.
    """
    from licframe.errors import ImageError

    names = [source.with_suffix(suffix).name for source in sources]
    if output is None:
        paths = [source.with_name(name) for source, name in zip(sources, names, strict=True)]
    elif output.is_dir() or not output.suffix:
        paths = [output / name for name in names]
    elif len(sources) > 1:
        raise ImageError(f"{len(sources)} inputs do not fit into one file {output}; give a folder to -o")
    else:
        paths = [output]
    for path in paths:
        if paths.count(path) > 1:
            raise ImageError(f"several inputs would become {path}; treat them one by one, with -o")
        if path.exists() and not overwrite:
            raise ImageError(f"{path} exists; name another file with -o, or replace it with --overwrite")
    return paths
