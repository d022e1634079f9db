"""``licframe report``: results as one page, blind comparisons, and what their answers say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from licframe.cli import streams
from licframe.cli.options import Overrides, Overwrite, print_table
from licframe.profile import DEFAULT_PROFILE

_FEW, _MANY = 12, 24
"""Trials of a blind page: fewer say little, and more take longer than five minutes."""


class _Asked(NamedTuple):
    """Pictures, the codec whose bytes decide, the others, and what is asked of the first."""

    pictures: list[Path]
    profile: str
    others: list[str]
    quality: int | None
    rates: tuple[float, ...]
    overrides: tuple[str, ...]


def report(
    results: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Results files or folders, from licframe bench rd; with --blind-answers, files of answers."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="HTML file to write; report.html or blind.html if left out."),
    ] = None,
    published: Annotated[
        list[str] | None,
        typer.Option("--published", help="Published curve to draw; repeat; all if left out."),
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            "--anchor",
            help="What BD-rates refer to; repeat; the first two baselines, or else the first result.",
        ),
    ] = None,
    show: Annotated[
        list[Path] | None, typer.Option("--show", help="Picture to compare by eye; repeat.")
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="Profile, or any codec, whose bytes decide.")
    ] = DEFAULT_PROFILE,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            "--baseline",
            help="Codec beside it, in at most its bytes; repeat; jpeg if left out.",
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option("--quality", "-q", min=0, max=100, help="Of the profile; 30 if nothing is asked for."),
    ] = None,
    compare_bpp: Annotated[
        str | None,
        typer.Option("--compare-bpp", help="Rates of the profile instead of a quality, comma-separated."),
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Write a page of blind trials: which is nearer to the original?")
    ] = False,
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=1, help=f"Most trials of a blind page; {_MANY} if left out."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Draws trials and their order on a blind page; 0 if left out."),
    ] = None,
    blind_answers: Annotated[
        bool, typer.Option("--blind-answers", help="Print what files of answers from blind pages say.")
    ] = False,
    title: Annotated[str, typer.Option("--title", help="Of the page.")] = "",
    overrides: Overrides = None,
    overwrite: Overwrite = False,
) -> None:
    """Write results as one page: plots, tables, sliders.

    The page is self-contained. Pictures at equal bytes lie under a slider, or in blind trials.

    Example: licframe report results/kodak -o report.html --show photo.png
    """
    from licframe.cli.bench import numbers
    from licframe.errors import UsageError

    files, pictures = results or [], show or []
    if blind and blind_answers:
        raise UsageError("--blind makes a page, --blind-answers reads what it saved; leave out either")
    if not blind and (trials is not None or seed is not None):
        raise UsageError("--trials and --seed are for blind pages; add --blind, or leave them out")
    if blind_answers:
        _print_answers(files)
        return
    rates = numbers(compare_bpp, "--compare-bpp") if compare_bpp else ()
    asked = _Asked(pictures, profile, against or ["jpeg"], quality, rates, tuple(overrides or ()))
    if blind:
        if files:
            raise UsageError(
                f"{files[0]}: results have no place on a blind page; name pictures with --show"
            )
        _write_blind(asked, output or Path("blind.html"), trials or _MANY, seed or 0, title, overwrite)
        return
    _write_report(files, asked, output or Path("report.html"), published, anchor, title, overwrite)


def _write_report(
    files: list[Path],
    asked: _Asked,
    output: Path,
    published: list[str] | None,
    anchor: list[str] | None,
    title: str,
    overwrite: bool,
) -> None:
    from licframe.cli.bench import progress_line
    from licframe.errors import ResultsError, UsageError
    from licframe.evaluation import published as curves
    from licframe.evaluation import report as page
    from licframe.evaluation import results as stored
    from licframe.runtime.extras import require

    require("matplotlib", "a report")
    if not files and not asked.pictures:
        raise UsageError(
            "nothing to show; give files or folders that licframe bench rd wrote, or pictures with --show"
        )
    streams.to_write([*files, *asked.pictures], [output], overwrite=overwrite)
    found = stored.load_all(files) if files else []
    dataset = found[0].dataset if found else ""
    names = list(curves.published(dataset)) if published is None else published
    drawn = [*found, *(curves.curve(dataset, name) for name in names)]
    by_name = {item.codec: item for item in drawn}
    anchors = []
    baselines = [item.codec for item in found if item.kind != "profile"]
    for name in anchor or baselines[:2] or [item.codec for item in found[:1]]:
        if name not in by_name:
            raise ResultsError(f'no results of anchor "{name}"; there are {", ".join(by_name)}')
        anchors.append(by_name[name])
    comparisons = []
    if asked.pictures:
        from licframe.evaluation.comparison import codecs_named, compare, targets_of

        advance, targets = progress_line("pictures"), targets_of(asked.quality, asked.rates)
        codecs = codecs_named(asked.profile, asked.others, asked.overrides)
        for number, path in enumerate(asked.pictures, 1):
            comparisons.append(compare(path, codecs, targets))
            advance(number, len(asked.pictures))
    _write(output, page.render(drawn, anchors, comparisons, title))


def _write_blind(asked: _Asked, output: Path, most: int, seed: int, title: str, overwrite: bool) -> None:
    from licframe.cli.bench import progress_line
    from licframe.errors import UsageError
    from licframe.evaluation import blind
    from licframe.evaluation.comparison import codecs_named, targets_of

    if not asked.pictures:
        raise UsageError("a blind page needs pictures; name them with --show")
    streams.to_write(asked.pictures, [output], overwrite=overwrite)
    targets = targets_of(asked.quality, asked.rates)
    codecs = codecs_named(asked.profile, asked.others, asked.overrides)
    drawn = blind.draw(asked.pictures, targets, [codec.name for codec in codecs[1:]], most, seed)
    comparisons, left_out = blind.compare_drawn(drawn, codecs, progress_line("pictures"))
    for reason in left_out:
        typer.echo(f"left out: {reason}", err=True)
    text = blind.render(comparisons, seed, title)
    count = len(drawn) - len(left_out)
    if count < _FEW:
        typer.echo(f"{count} trials say little; {_FEW} to {_MANY} take five minutes: add pictures or rates")
    _write(output, text)


def _write(output: Path, text: str) -> None:
    from licframe.runtime.atomic import write_atomically

    write_atomically(output, text)
    typer.echo(f"wrote {output}, {output.stat().st_size / 1e6:.1f} MB")


def _print_answers(files: list[Path]) -> None:
    from licframe.errors import UsageError
    from licframe.evaluation import blind

    paths = streams.sources(files, "*.json")
    if not paths:
        raise UsageError("no files of answers are named; give those that a page of --blind saved")
    answers = blind.load_all_answers(paths)
    rows = [
        [t.codec, t.other, t.rate, str(t.wins), str(t.losses), str(t.undecided), f"{t.p:.2g}"]
        for t in blind.tabulate(answers)
    ]
    columns = ["codec", "other", "rate", "codec nearer", "other nearer", "cannot tell", "p"]
    note = "p: two-sided sign test without those who cannot tell; answers of one person are not independent"
    count = sum(len(sitting.trials) for sitting in answers)
    print_table(f"{count} answers of {len(answers)} sittings", columns, rows, note)
