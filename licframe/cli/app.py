"""The application that holds all commands."""

from __future__ import annotations

from typing import Annotated

import typer

import licframe
from licframe.cli.ablate import ablate
from licframe.cli.bench import bench
from licframe.cli.compress import compress, decompress
from licframe.cli.deepen import deepen
from licframe.cli.distill import distill
from licframe.cli.doctor import doctor
from licframe.cli.info import info
from licframe.cli.plugins import plugins
from licframe.cli.profiles import profiles
from licframe.cli.refit import refit
from licframe.cli.report import report
from licframe.cli.run import run
from licframe.cli.train import train
from licframe.cli.verify import verify

app = typer.Typer(
    help="Learned image compression: small files that decode the same everywhere.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help takes 0.1 s to import
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"licframe {licframe.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for _command in (
    run,
    compress,
    decompress,
    info,
    verify,
    profiles,
    plugins,
    doctor,
    train,
    distill,
    deepen,
    refit,
    ablate,
    report,
):
    app.command()(_command)
app.add_typer(bench, name="bench")
