"""``licframe ablate``: swap parts and see what each is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from licframe.cli.bench import Data, numbers, progress_line
from licframe.cli.options import Json, Overrides, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from licframe.evaluation.ablation import Variant


def ablate(
    profile: Annotated[str, typer.Argument(help="A TOML file, or the name of a shipped profile.")],
    swaps: Annotated[
        list[str],
        typer.Option(
            "--swap", metavar="KIND=NAME", help="Swap a part, e.g. entropy_model=laplace; repeat."
        ),
    ],
    images: Annotated[
        str, typer.Option("--images", help="kodak, clic, tecnick, or a folder of pictures.")
    ] = "kodak",
    data: Data = Path("data"),
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of results.")] = Path("ablation"),
    qualities: Annotated[
        str | None, typer.Option("--qualities", help="Comma-separated; the profile's own if left out.")
    ] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Measure what parts are worth, by swapping them.

    Every combination is measured against the profile: BD-rate and seconds. Writes results, and rate-distortion curves as curves.svg where matplotlib is installed. Every
    combination is loaded first; where weights are missing, the command that trains them is shown.

    Example: licframe ablate tiny --swap picture_filter=none --images photographs/
    """
    from licframe.evaluation import ablation, datasets, plots
    from licframe.evaluation.codecs import result_name
    from licframe.runtime import extras
    from licframe.runtime.atomic import write_atomically

    dataset = datasets.find(images, data)
    variants = ablation.measure(
        profile,
        swaps,
        dataset,
        output,
        overrides=overrides or (),
        qualities=numbers(qualities) if qualities else (),
        started=progress_line,
    )
    measured = [v.results for v in variants if v.results is not None]
    wrote = f"results in {output}"
    if extras.installed("matplotlib"):
        write_atomically(output / "curves.svg", plots.rate_distortion(measured))
        wrote = f"results and curves.svg in {output}"
    else:
        wrote += f"; curves.svg needs the package matplotlib; {extras.install('matplotlib')}"
    if as_json:
        print_json(
            [
                {
                    "swaps": list(v.swaps),
                    "bd_rate": v.percent,
                    "encode_ratio": v.encode_ratio,
                    "decode_ratio": v.decode_ratio,
                    "problem": v.problem or None,
                }
                for v in variants
            ]
        )
    else:
        title = f"{result_name(profile)} on {len(dataset.paths)} images of {dataset.name}"
        _print(title, variants, f"encode, decode: speed against the base; {wrote}")
    if len(measured) < min(2, len(variants)):
        raise typer.Exit(1)


def _print(title: str, variants: Sequence[Variant], note: str) -> None:
    """Print the variants as a table, and below it why some could not be measured or compared."""
    rows = [
        [
            v.label,
            "-" if v.percent is None else f"{v.percent:+.2f} %",
            "-" if v.encode_ratio is None else f"{v.encode_ratio:.2f}x",
            "-" if v.decode_ratio is None else f"{v.decode_ratio:.2f}x",
        ]
        for v in variants
    ]
    print_table(title, ["variant", "BD-rate", "encode", "decode"], rows, note)
    for v in variants:
        if v.problem:
            typer.echo(f"{v.label}: {v.problem}")
