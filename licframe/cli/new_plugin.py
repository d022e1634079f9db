"""``licframe new-plugin``: a package to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def kinds() -> list[str]:
    """Return the kinds of parts, for completion."""
    from licframe.registry.discovery import KINDS

    return list(KINDS)


def new_plugin(
    name: Annotated[str, typer.Argument(help="Of the part, as profiles will write it: my-part.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="transform, context_scheduler, entropy_model, refiner, picture_filter or codec.",
            autocompletion=kinds,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to make; licframe-NAME if left out.")
    ] = None,
) -> None:
    """Write a package with a part of one's own that works.

    It has one class, which says what such a part must have, an entry point, a profile, and a test that passes at once.

    Example: licframe new-plugin my-model --kind entropy_model
    """
    from licframe.testing.starter import start

    folder = output or Path(f"licframe-{name}")
    for path in start(name, kind, folder):
        typer.echo(path)
    typer.echo(f'go on with: cd {folder} && pip install -e ".[test]" && pytest')
