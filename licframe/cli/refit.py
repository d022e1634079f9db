"""``licframe refit``: fit anew what belongs to base weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def refit(
    base: Annotated[
        Path | None,
        typer.Argument(help="New base weights; those beside the recipe if left out."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", envvar="LICFRAME_TRAINING_DATA", help="Folders, tar shards or pictures."),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", help="TOML file beside the weights that says what belongs to them; the shipped one."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Fit this part; may be repeated.")
    ] = None,
    factor: Annotated[float, typer.Option("--factor", min=1e-6, help="Factor of all minutes.")] = 1.0,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Parts at once; they share the cores. One a core.")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", help="Gets the run of each part, and the weights before it.")
    ] = Path("runs/refit"),
    table: Annotated[
        bool, typer.Option("--table", help="Fit nothing: only the table in README.md beside the weights.")
    ] = False,
) -> None:
    """Fit anew what belongs to new base weights.

    Contexts and syntheses are fitted, and each is put in place. Begins from the files that are replaced, where the recipe says so. Where a README.md lies beside the weights,
    patches, minutes and hashes of its table follow.

    Example: licframe refit runs/balanced/weights.safetensors --data photographs/
    """
    from licframe.errors import UsageError
    from licframe.profile.profile import profile_folder

    if not table and not data:
        raise UsageError("name the training data with --data")
    if table and (base or only):
        raise UsageError("--table fits nothing; leave out the base weights and --only")
    from licframe.runtime.atomic import read_file, write_atomically
    from licframe.training import refit as refitting
    from licframe.training.processes import Processes

    Processes.started().alone("licframe refit, which shares the cores by itself,")

    read = refitting.Recipe.read(recipe or profile_folder() / "weights" / "refit.toml")
    if not table:
        refitting.refit(
            read,
            data or [],
            folder=folder,
            base=base,
            only=only or (),
            factor=factor,
            jobs=jobs or os.cpu_count() or 1,
            tell=typer.echo,
        )
    page = read.folder / "README.md"
    if page.is_file():
        write_atomically(page, refitting.table(read_file(page).decode(), read.folder))
