"""``licframe report``: results as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from licframe.cli import streams
from licframe.cli.options import Overrides, Overwrite


def report(
    results: Annotated[
        list[Path], typer.Argument(help="Results files or folders, from licframe bench rd.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path(
        "report.html"
    ),
    published: Annotated[
        list[str] | None,
        typer.Option("--published", help="Published curve to draw; repeat; all if left out."),
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option("--anchor", help="What BD-rates refer to; repeat; the first two results."),
    ] = None,
    show: Annotated[
        list[Path] | None, typer.Option("--show", help="Picture to compare by slider; repeat.")
    ] = None,
    profile: Annotated[str, typer.Option("--profile", "-p", help="Profile in the slider.")] = "balanced",
    baseline: Annotated[
        str, typer.Option("--baseline", help="Baseline beside it, at equal bytes.")
    ] = "jpeg",
    quality: Annotated[int, typer.Option("--quality", "-q", min=0, max=100, help="Of the profile.")] = 15,
    title: Annotated[str, typer.Option("--title", help="Of the page.")] = "",
    overrides: Overrides = None,
    overwrite: Overwrite = False,
) -> None:
    """Write results as one page: plots, tables, sliders.

    The page is self-contained. Pictures lie side by side under a slider.

    Example: licframe report results/kodak -o report.html --show photo.png
    """
    from licframe.errors import ResultsError
    from licframe.evaluation import published as curves
    from licframe.evaluation import report as page
    from licframe.evaluation import results as stored
    from licframe.runtime.atomic import write_atomically
    from licframe.runtime.extras import require

    require("matplotlib", "a report")
    streams.to_write(results, [output], overwrite=overwrite)
    found = stored.load_all(results)
    dataset = found[0].dataset
    known = curves.published(dataset)
    names = list(known) if published is None else published
    drawn = [*found, *(curves.curve(dataset, name) for name in names)]
    by_name = {item.codec: item for item in drawn}
    anchors = []
    for name in anchor or [item.codec for item in found if item.kind != "profile"][:2]:
        if name not in by_name:
            raise ResultsError(f'no results of anchor "{name}"; there are {", ".join(by_name)}')
        anchors.append(by_name[name])
    comparisons = []
    if show:
        from licframe.evaluation.comparison import compare

        comparisons = [compare(path, profile, baseline, quality, tuple(overrides or ())) for path in show]
    write_atomically(output, page.render(drawn, anchors, comparisons, title))
    typer.echo(f"wrote {output}, {output.stat().st_size / 1e6:.1f} MB")
