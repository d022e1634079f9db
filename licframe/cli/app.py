"""The application that holds all commands; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import licframe

COMMANDS = {
    "run": ("run", "Compress a picture, decompress it from the file alone, and measure both."),
    "compress": ("compress", "Compress pictures to .lic files."),
    "decompress": ("compress", "Decompress .lic files to PNG, or to what the suffix of the output says."),
    "batch": (
        "batch",
        "Compress all pictures of a folder, or decompress all files; go on where it was ended.",
    ),
    "info": ("info", "Show size, quality, parts and checksums of .lic files, without decoding them."),
    "verify": (
        "verify",
        "Check every checksum of .lic files, and decode their symbols and compare them with their digest.",
    ),
    "profiles": ("profiles", "List the shipped profiles, or print one with everything it inherits."),
    "plugins": ("plugins", "List the parts of all installed plugins, and the plugins that failed to load."),
    "doctor": (
        "doctor",
        "Check versions, plugins, weights, and that files decode the same in several settings.",
    ),
    "train": ("train", "Train the weights of a profile for some minutes; resume as often as you like."),
    "distill": (
        "distill",
        "Train a small synthesis on the teacher's images and features; analysis and files stay the teacher's.",
    ),
    "deepen": (
        "deepen",
        "Move the weights of a profile into a deeper or wider one, for licframe train --start.",
    ),
    "refit": (
        "refit",
        "Fit contexts and syntheses to base weights that were trained anew, and put each in place.",
    ),
    "ablate": (
        "ablate",
        "Measure every combination of swapped parts against the profile: BD-rate and seconds.",
    ),
    "report": (
        "report",
        "Write a self-contained page: plots, tables, and pictures at equal bytes, under a slider or blind.",
    ),
    "bench": ("bench", "Measure rate-distortion and speed."),
}
"""For each command the module of ``licframe.cli`` that it stands in, and the line that the list of commands shows."""


class _Commands(TyperGroup):
    """The commands: listing them imports none, and running one imports no other."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        unloaded: dict[str, Any] = dict.fromkeys(COMMANDS)
        self.commands.update(unloaded)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in COMMANDS and self.commands[cmd_name] is None:
            self.commands[cmd_name] = _load(cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _load(name: str) -> Any:
    """Return a command as the group wants it."""
    found = getattr(importlib.import_module(f"licframe.cli.{COMMANDS[name][0]}"), name)
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(rich_markup_mode=None, add_completion=False)
        found.command()(function)
    command = typer.main.get_command(found)
    command.name = name
    return command


app = typer.Typer(
    cls=_Commands,
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
