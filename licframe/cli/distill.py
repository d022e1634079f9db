"""``licframe distill``: make a small decoder for a teacher's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from licframe.cli.options import Device, Overrides, Precision, print_table
from licframe.cli.train import LimitPictures, OverwriteRun, Rate, ShowProgress, tell_of

GROUPS = {
    "Length and place of the run": (
        "--data",
        "--folder",
        "--minutes",
        "--decay",
        "--limit",
        "--seed",
        "--resume",
        "--overwrite",
    ),
    "What is trained, and from where": ("--teacher", "--start", "--latents", "--costs", "--set"),
    "Steps": ("--rate",),
    "Machine": ("--precision", "--device"),
}


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
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="Length of the run.")] = 30.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's checkpoint.")
    ] = False,
    overwrite: OverwriteRun = False,
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
    rate: Rate = None,
    decay: Annotated[
        float,
        typer.Option("--decay", min=0.0, max=1.0, help="Share of the run in which the rates fall to zero."),
    ] = 0.3,
    precision: Precision = "auto",
    device: Device = "auto",
    limit: LimitPictures = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the random numbers.")] = 0,
    overrides: Overrides = None,
) -> None:
    """Train a small synthesis for the files of a teacher.

    It learns from the teacher's images and features. Analysis and files stay the teacher's. The run folder gets weights.safetensors that hold only the new synthesis, to be put beside the
    teacher's weights, and profile.toml that codes with both.

    Example: licframe distill fast --data photographs/ --minutes 30
    """
    from licframe import training
    from licframe.codec.loading import load_latent
    from licframe.profile.profile import latent_profile

    checked = latent_profile(profile, overrides or ())
    own = checked.training
    fields = {} if rate is None else {"rate": rate}
    hardware = training.hardware_on(device, precision)
    schedule = training.Schedule.of(checked, minutes=minutes, decay=decay, **fields)
    if costs:
        hardware.processes.alone("--costs")
        photographs = training.Photographs(data, limit, candidates=own.candidates, patch=own.patch)
        found = training.removal_costs(load_latent(teacher).model, photographs.patches(32, own.patch))
        rows = [[name, f"{cost:.2f} dB"] for name, cost in found.items()]
        print_table(f"PSNR lost without a block, {teacher}, quality 50", ["block", "cost"], rows)
        return
    with ShowProgress(schedule.minutes, hardware.processes.first) as show:
        run = training.distill(
            checked,
            data,
            folder=folder or Path("runs") / f"{checked.name}-distilled",
            teacher=teacher,
            start=start,
            resume=resume,
            overwrite=overwrite,
            schedule=schedule,
            callbacks=[show],
            hardware=hardware,
            patches=latents,
            limit=limit,
            seed=seed,
        )
    made = f"{run.weights}: after {run.patches} patches"
    tell_of(hardware, f"{made}; use it with", f"  licframe run {run.folder / 'profile.toml'}")
