"""Help in groups: commands with many options show them under headings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from typer.core import TyperCommand

Groups = Mapping[str, Sequence[str]]
"""Names of options under each heading, as they are typed; what none has stands under "Options"."""


class Grouped(TyperCommand):
    """A command whose help lists options under headings."""

    groups: ClassVar[Groups] = MappingProxyType({})

    def format_options(self, ctx: Any, formatter: Any) -> None:
        heading = {option: title for title, options in self.groups.items() for option in options}
        listed: dict[str, list[tuple[str, str]]] = {"Arguments": [], **{title: [] for title in self.groups}}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                given = next((heading[name] for name in param.opts if name in heading), "Options")
                title = "Arguments" if param.param_type_name == "argument" else given
                listed.setdefault(title, []).append(record)
        for title, records in listed.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def grouped(groups: Groups) -> type[Grouped]:
    """Return the class of a command with such groups."""
    return type("Grouped", (Grouped,), {"groups": groups})
