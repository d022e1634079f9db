"""``licframe distill``: make a small decoder for a teacher's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import attrs
import typer

from licframe.cli.options import Overrides, Precision, print_table
from licframe.cli.train import prepare_folder, record_of, refuse_overwriting, show_progress


def distill(
    profile: Annotated[
        str, typer.Argument(help="A profile whose transform is the teacher's with another synthesis.")
    ],
    data: Annotated[
        list[Path],
        typer.Option("--data", envvar="LICFRAME_TRAINING_DATA", help="Folders, tar shards or pictures."),
    ],
    teacher: Annotated[str, typer.Option("--teacher", help="Profile of the teacher.")] = "balanced",
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Run folder; runs/PROFILE-distilled if left out.")
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="Length of the leg.")] = 30.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's checkpoint.")
    ] = False,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            help="Begin from the synthesis in this file, distilled before, not from the teacher's.",
        ),
    ] = None,
    costs: Annotated[
        bool, typer.Option("--costs", help="Only show what removing each block of the teacher costs.")
    ] = False,
    latents: Annotated[
        int, typer.Option("--latents", min=8, help="Patches that are coded once; 2000 take 1.4 GB.")
    ] = 2000,
    rate: Annotated[float | None, typer.Option("--rate", help="Factor of all learning rates.")] = None,
    decay: Annotated[
        float, typer.Option("--decay", min=0.0, max=1.0, help="Share of the leg in which the rates fall.")
    ] = 0.3,
    precision: Precision = "auto",
    limit: Annotated[int | None, typer.Option("--limit", help="Read at most so many pictures.")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    overrides: Overrides = None,
) -> None:
    """Train a small synthesis on the teacher's images and features; analysis and files stay the teacher's.

    The run folder gets weights.safetensors that hold only the new synthesis, to be put beside the
    teacher's weights, and profile.toml that codes with both.
    """
    import random

    from licframe.errors import LicframeError
    from licframe.profile import load_profile

    checked, master = load_profile(profile, overrides or ()), load_profile(teacher)
    try:
        from licframe.training.hardware import fabric_on
    except ImportError as error:
        raise LicframeError('training needs more packages: pip install "licframe[train]"') from error

    from licframe import weights
    from licframe.evaluation.complexity import complexity
    from licframe.loading import build, load
    from licframe.training.data import Photographs
    from licframe.training.distillation import DecodedPatches, DistillationObjective, removal_costs
    from licframe.training.loop import Leg, Trainer

    if master.weights_path is None:
        raise LicframeError(f"the teacher {teacher} has no weights; train it first")
    folder = folder or Path("runs") / f"{checked.name}-distilled"
    path = folder / "weights.safetensors"
    refuse_overwriting(path, start, master.weights_path)
    old = load(master)
    photographs = Photographs(data, limit, candidates=checked.training.candidates)
    defaults = checked.training
    if costs:
        sample = photographs.patches(32, defaults.patch, random.Random(seed))
        rows = [[name, f"{cost:.2f} dB"] for name, cost in removal_costs(old, sample).items()]
        print_table(f"PSNR lost without a block, {teacher}, quality 50", ["block", "cost"], rows)
        return
    # What codes is the teacher's, whatever else the student's profile names.
    made = attrs.evolve(master, name=checked.name, transform=checked.transform, training=checked.training)
    new = build(made)
    weights.load_shared(master.weights_path, new)
    learn = getattr(new.transform, "learn_from", None)
    if learn is not None:
        learn(old.transform)
    if start is not None:
        state = {k: v for k, v in weights.part_state(start, "transform").items() if "synthesis" in k}
        own = new.transform.state_dict()
        other = [k for k, v in state.items() if k not in own or own[k].shape != v.shape]
        if other or not state:
            raise LicframeError(
                f"--start {start} holds {'another' if state else 'no'} synthesis{f' ({other[0]})' if other else ''}; "
                "leave it out, or give the student the options that it was made with"
            )
        new.transform.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()}, strict=False)
    leg = Leg(
        minutes=minutes,
        batch=defaults.batch,
        patch=defaults.patch,
        rate=rate or defaults.rate,
        decay=decay,
        seed=seed,
    )
    fabric = fabric_on("auto", precision)
    decoded = DecodedPatches(old, photographs, latents, leg.patch, random.Random(seed), fabric)
    trainer = Trainer(new, decoded, leg, folder, fabric, DistillationObjective(new, old))
    if resume:
        trainer.resume()
    prepare_folder(folder, made, photographs, leg)
    with show_progress() as show:
        trainer.run(show)
    new = new.cpu()
    record = record_of(trainer, photographs, start=start) | {"teacher": old.fingerprint.hex()}
    new.save(path, record | complexity(new), master.weights_path)
    typer.echo(f"{path}: after {trainer.patches} patches; use it with")
    typer.echo(f"  licframe run {folder / 'profile.toml'}")
