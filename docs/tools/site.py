"""What the site says that code says already: commands, profile keys, errors, and drawings of the order of coding.

A hook of mkdocs (``mkdocs.yml``): these pages are made when the site is built, and lie in no folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import typer

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

    from licframe.model.interfaces import ContextScheduler, Step

_CELL = 14
_KINDS = {"int": "N", "integer": "N", "float": "X", "path": "PATH"}
"""What stands for an option's value, by the first word of its type."""
_PANEL = 8
"""Rows and columns of a drawn latent."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    from mkdocs.structure.files import File

    made = {
        "reference/commands.md": commands(),
        "reference/profiles.md": profile_keys(),
        "reference/errors.md": errors(),
        "explanation/msp.svg": order_of("tiny"),
        "explanation/checkerboard.svg": order_of("checkerboard"),
    }
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


# -- commands -----------------------------------------------------------------------------------


def commands() -> str:
    """Return the page of all commands."""
    from licframe.cli.app import COMMANDS, app

    group: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "What `--help` says. `licframe --install-completion` completes commands and profiles in the shell.",
    ]
    for name in COMMANDS:
        command = group.get_command(None, name)
        inner = getattr(command, "commands", {})
        if inner:
            lines += ["", f"## licframe {name}", "", command.help]
        for one, of in (
            {f"{name} {key}": value for key, value in inner.items()}.items() if inner else [(name, command)]
        ):
            lines += ["", *_command(f"licframe {one}", of, "###" if inner else "##")]
    return "\n".join(lines) + "\n"


def _command(name: str, command: Any, heading: str) -> Iterator[str]:
    yield f"{heading} {name}"
    for paragraph in command.help.split("\n\n"):
        text = " ".join(paragraph.split())
        yield from ("", re.sub(r"^Example: (.*)", r"Example: `\1`", text))
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    words = " ".join(p.name.upper() + "..." * (p.nargs != 1) for p in arguments)
    yield from ("", "```text", f"{name} {words} [OPTIONS]".replace("  ", " "), "```", "")
    yield from ("| | what | if left out |", "|---|---|---|")
    for param in command.params:
        if param.name == "help":
            continue
        names = [param.name.upper()] if param in arguments else [*param.opts, *param.secondary_opts]
        said = (getattr(param, "help", None) or "").replace("|", "\\|")
        said += f" Or the variable `{param.envvar}`." if getattr(param, "envvar", None) else ""
        value = (
            ""
            if param in arguments or param.is_flag
            else f" {param.metavar or _KINDS.get(param.type.name.split()[0], 'TEXT')}"
        )
        shown = ", ".join(f"`{name}`" for name in names[1:])
        yield f"| `{names[0]}{value}`{', ' * bool(shown)}{shown} | {said} | {_default(param)} |"


def _default(param: Any) -> str:
    if param.required:
        return "needed"
    value = param.default
    if value is None or value is False or value == "" or callable(value):
        return ""
    if value is True:
        return "on"
    return f"`{value}`"


# -- profiles -----------------------------------------------------------------------------------


def profile_keys() -> str:
    """Return the page of all keys of a profile: the tables, and the options of each part that comes with licframe."""
    from licframe.profile import profile
    from licframe.registry.discovery import KINDS, registry

    lines = [
        "# Profile keys",
        "",
        "A profile is a TOML file. It names one part of each kind, or a codec of another kind. `licframe profiles NAME` prints",
        'one with every default; `--set TABLE.KEY=VALUE` changes a key for one command. `extends = "balanced"` starts from',
        "another profile, a shipped one or a file; `summary` is one line about it.",
    ]
    for table in ("encoder", "weights", "training", "detail"):
        lines += ["", *_keys(f"## [{table}]", getattr(profile, table.capitalize()))]
    for kind in KINDS:
        parts = [
            item for item in registry().parts[kind].values() if item.distribution.startswith("licframe ")
        ]
        lines += ["", f"## [{kind}]", "", "| plugin | what |", "|---|---|"]
        lines += [f"| `{item.part.name}` | {item.part.summary} |" for item in parts]
        for item in parts:
            if attrs.fields(item.part.options):
                lines += ["", *_keys(f"### {kind} {item.part.name}", item.part.options)]
    return "\n".join(lines) + "\n"


def _keys(heading: str, options: type) -> Iterator[str]:
    first, texts = described(options)
    yield from (heading, "", first, "", "| key | what | default |", "|---|---|---|")
    for field in attrs.fields(options):
        default = [] if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]
        shown = list(default) if isinstance(default, tuple) else default
        text = repr(shown).replace("'", '"')
        text = {"True": "true", "False": "false"}.get(text, text)
        yield f"| `{field.name}` | {texts.get(field.name, '')} | `{text}` |"


def described(options: type) -> tuple[str, Mapping[str, str]]:
    """Return what the docstring of a class of options says first, and what it says of each option."""
    said, _, attributes = (options.__doc__ or "").partition("Attributes:")
    names = "|".join(field.name for field in attrs.fields(options)) or "-"
    text = " ".join(attributes.split())
    starts = list(re.finditer(rf"(?:^|(?<=[;.] ))((?:{names})(?:, (?:{names}))*): ", text))
    found = {}
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        for name in start[1].split(", "):
            found[name] = text[start.end() : end].strip().rstrip(";").replace("|", "\\|")
    return " ".join(said.split()), found


# -- errors -------------------------------------------------------------------------------------


def errors() -> str:
    """Return the page of errors and exit codes."""
    from licframe import errors as module

    lines = [
        "# Errors and exit codes",
        "",
        "An error is one line on standard error: what is wrong, where, what is allowed, and what to do. In Python it is one",
        "of these classes, all of them in `licframe.errors`, and all of them `LicframeError`s.",
        "",
        "| exit code | class | when |",
        "|---|---|---|",
        "| 0 | | all went well |",
    ]
    found = [
        e for e in vars(module).values() if isinstance(e, type) and issubclass(e, module.LicframeError)
    ]
    lines += [
        f"| {error.exit_code} | `{error.__name__}` | {' '.join((error.__doc__ or '').split())} |"
        for error in sorted(found, key=lambda e: e.exit_code)
    ]
    lines += [
        "| 130 | | Interrupted, with Ctrl-C. |",
        "",
        "A line on usage comes before the error where an option is unknown; its exit code is 2, too. Of several inputs the",
        "first that fails decides the code, and the others are still done.",
    ]
    return "\n".join(lines) + "\n"


# -- drawings -----------------------------------------------------------------------------------


def order_of(profile: str) -> str:
    """Return an SVG of the steps in which a profile's context model codes a latent, as its plan says."""
    from licframe.codec.loading import build
    from licframe.profile.profile import latent_profile

    scheduler = build(latent_profile(profile)).scheduler
    return drawing(panels(scheduler))


def panels(scheduler: ContextScheduler) -> list[tuple[str, set[tuple[int, int]]]]:
    """Return title and positions of each group of steps that differ in their channels only, or code one phase."""
    groups: dict[tuple[int, int, int], list[Step]] = {}
    for step in scheduler.plan(_PANEL, _PANEL):
        if step.tensor == "y":
            phase = getattr(step.data, "phase", 0)
            groups.setdefault((-step.level, step.pass_index, phase), []).append(step)
    found = []
    for (level, number, phase), steps in groups.items():
        positions = {
            (row, column)
            for step in steps
            for row in range(_PANEL)[step.rows]
            for column in range(_PANEL)[step.columns]
        }
        channels = {(step.channels.start, step.channels.stop) for step in steps}
        title = f"level {-level}, phase {phase + 1}" if scheduler.passes == 1 else f"pass {number + 1}"
        title = "base" if scheduler.passes == 1 and not found else title
        found.append((title + f"; {len(channels)} groups of channels" * (len(channels) > 1), positions))
    return found


def drawing(shown: list[tuple[str, set[tuple[int, int]]]]) -> str:
    """Return an SVG with a panel for each title and set of positions: coded now, known, not yet known."""
    side, gap = _CELL * _PANEL, 24
    across = min(len(shown), 4)
    rows = -(-len(shown) // across)
    width, height = across * (side + gap) + gap, rows * (side + 2 * gap) + gap
    box = f'viewBox="0 0 {width} {height}" width="{width}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    known: set[tuple[int, int]] = set()
    for number, (title, positions) in enumerate(shown):
        x, y = gap + number % across * (side + gap), 2 * gap + number // across * (side + 2 * gap)
        for line, text in enumerate(reversed(f"{number + 1}. {title}".split("; "))):
            lines.append(f'<text x="{x}" y="{y - 6 - 12 * line}" fill="#222222">{text}</text>')
        for row in range(_PANEL):
            for column in range(_PANEL):
                place = row, column
                fill = "#e8710a" if place in positions else "#7fb8b0" if place in known else "#f4f4f4"
                lines.append(
                    f'<rect x="{x + column * _CELL}" y="{y + row * _CELL}" width="{_CELL}" height="{_CELL}" fill="{fill}" '
                    'stroke="#ffffff"/>'
                )
        known |= positions
    return "\n".join([*lines, "</svg>", ""])
