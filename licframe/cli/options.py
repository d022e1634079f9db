"""Options that several commands share, and their output."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import Annotated, Any

import typer

from licframe.runtime.atomic import to_json

_LITTLE = 24
"""Characters; a text column has at least so many beside others."""

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change the profile, e.g. refiner.plugin=none."),
]
Quality = Annotated[
    int | None,
    typer.Option(
        "--quality",
        "-q",
        help="0 (smallest file, about 0.05 bpp) to 100 (about 48 dB); 50 if nothing is asked for.",
    ),
]
Bpp = Annotated[float | None, typer.Option("--bpp", help="Largest rate, in bits per pixel.")]
Size = Annotated[int | None, typer.Option("--size", help="Largest file, in bytes.")]
Psnr = Annotated[float | None, typer.Option("--psnr", help="Least PSNR, in dB.")]
Ssimulacra2 = Annotated[
    float | None,
    typer.Option("--ssimulacra2", help="Least SSIMULACRA2 score: 90 looks the same, 70 good, 50 fair."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON instead of a table; null is no number, or an infinite one."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite/--no-overwrite", help="Replace files that exist.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave files that exist as they are, and do the others.")
]
Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit", metavar="NAME=VALUE", help="Raise a limit: pixels, side, memory (e.g. 32G) or seconds."
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision", help="32-true; bf16-mixed, where the hardware has it twice as fast; auto chooses."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device", help="Where networks are computed: cpu, cuda, or auto, a GPU where one is there."
    ),
]
Strip = Annotated[bool, typer.Option("--strip", help="Leave out ICC, EXIF and XMP.")]
FirstFrame = Annotated[bool, typer.Option("--first-frame", help="Take the first frame of an animation.")]
Lossless = Annotated[bool, typer.Option("--lossless", help="Keep every sample: the profile lossless.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]


def profile_names() -> list[str]:
    """Return the names of the shipped profiles, for completion."""
    from licframe.profile.profile import shipped_profiles

    return sorted(shipped_profiles())


Profile = Annotated[
    str, typer.Option("--profile", "-p", help="Name or TOML file.", autocompletion=profile_names)
]


def given(context: typer.Context, *names: str) -> list[str]:
    """Return those of some options that are the user's, and not at their default, as they are written."""
    flags = {param.name: max(param.opts, key=len) for param in context.command.params}
    sources = ((name, context.get_parameter_source(name)) for name in names)
    return [flags[name] for name, source in sources if source and source.name != "DEFAULT"]


def refuse_beside_lossless(context: typer.Context) -> None:
    """Refuse what asks for less than every sample.

    Raises:
        UsageError: naming it.
    """
    from licframe.errors import UsageError

    found = given(context, "profile", "quality", "bpp", "size", "psnr", "ssimulacra2")
    if found:
        raise UsageError(
            f"--lossless does not go with {' and '.join(found)}: every sample is kept; leave out either"
        )


def print_json(value: Any) -> None:
    """Print a value as JSON; null for numbers that it lacks."""
    typer.echo(to_json(value, indent=2))


def print_table(title: str, columns: list[str], rows: list[list[str]], note: str = "") -> None:
    """Print columns of text.

    In a terminal, and elsewhere where COLUMNS is set, the last is wrapped to the width, below the others where beside
    them is little room.
    """
    narrow = sys.stdout.isatty() or os.environ.get("COLUMNS", "").strip("0").isdigit()
    width = shutil.get_terminal_size().columns if narrow else sys.maxsize
    lines = [columns, *rows] if any(columns) else rows
    *widths, last = [max(map(len, column)) for column in zip(*lines, strict=True)]
    indent = sum(widths) + 2 * len(widths)
    below = width - indent < min(last, _LITTLE)
    _say(title, width)
    for *cells, text in lines:
        start = "".join(cell.ljust(size + 2) for cell, size in zip(cells, widths, strict=True))
        if below and text:
            typer.echo(start.rstrip())
            start, indent = "    ", 4
        fits = len(start) + len(text) <= width
        first, *more = [text] if fits else textwrap.wrap(text, width - indent)
        typer.echo((start + first).rstrip())
        for part in more:
            typer.echo(" " * indent + part)
    _say(note, width)


def _say(text: str, width: int) -> None:
    for line in text.splitlines():
        typer.echo(line if len(line) <= width else textwrap.fill(line, width))
