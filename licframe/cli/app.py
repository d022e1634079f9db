"""The application that holds all commands; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import licframe

COMMANDS = {
    "run": ("run", "Compress one picture, decompress it, and measure both."),
    "compress": ("compress", "Compress pictures to .lic files."),
    "decompress": ("compress", "Decompress .lic files to PNG or another format."),
    "batch": ("batch", "Compress or decompress a folder; go on where it ended."),
    "info": ("info", "Show what .lic files hold, without decoding them."),
    "verify": ("verify", "Check .lic files: every checksum, every symbol."),
    "profiles": ("profiles", "List the shipped profiles, or print one in full."),
    "plugins": ("plugins", "List the parts of installed plugins."),
    "doctor": ("doctor", "Check whether licframe works on this machine."),
    "train": ("train", "Train the weights of a profile for some minutes."),
    "distill": ("distill", "Train a small synthesis for the files of a teacher."),
    "deepen": ("deepen", "Move weights into a deeper or wider profile."),
    "refit": ("refit", "Fit anew what belongs to new base weights."),
    "ablate": ("ablate", "Measure what parts are worth, by swapping them."),
    "report": ("report", "Write results as one page: plots, tables, sliders."),
    "demo": ("demo", "Show a local page to drop pictures on."),
    "bench": ("bench", "Measure rate-distortion and speed."),
    "new-plugin": ("new_plugin", "Write a package with a part of one's own that works."),
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
    from licframe.cli.grouping import grouped

    module = importlib.import_module(f"licframe.cli.{COMMANDS[name][0]}")
    found = getattr(module, name.replace("-", "_"))
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(rich_markup_mode=None, add_completion=False)
        found.command(cls=grouped(getattr(module, "GROUPS", {})))(function)
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
