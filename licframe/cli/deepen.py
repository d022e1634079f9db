"""``licframe deepen``: where a run of a larger transform starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from licframe.cli.options import Overrides, Overwrite


def deepen(
    source: Annotated[str, typer.Argument(help="Profile whose weights are moved: a name, or a TOML file.")],
    target: Annotated[str, typer.Argument(help="Profile with more layers, wider ones or other blocks.")],
    output: Annotated[Path, typer.Argument(help="Weights file to write.")],
    overwrite: Overwrite = False,
    overrides: Overrides = None,
) -> None:
    """Move weights into a deeper or wider profile.

    The result is what licframe train --start begins from. What both have stays; what is new starts so small that it changes next to nothing.

    Example: licframe deepen balanced mine.toml start.safetensors
    """
    from licframe.errors import FileError
    from licframe.profile.profile import latent_profile

    if output.exists() and not overwrite:
        raise FileError(f"{output} exists; name another file, or replace it with --overwrite")
    old, new = latent_profile(source), latent_profile(target, overrides or ())

    import torch

    from licframe.codec.loading import build, load_latent, save
    from licframe.training.deepening import move_weights

    torch.manual_seed(0)
    model = build(new)
    move_weights(load_latent(old).model.state_dict(), model)
    fingerprint = save(model, new, output, {"moved_from": old.name})
    typer.echo(f"{output}: weights {fingerprint[:12]}; go on with")
    typer.echo(f"  licframe train {target} --start {output}")
