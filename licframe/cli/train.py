"""``licframe train``: make weights for a profile."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from licframe.cli.options import Device, Overrides, Precision, print_table
from licframe.runtime.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from licframe.profile.profile import LatentProfile
    from licframe.training import Hardware, LogLine, Schedule

Rate = Annotated[float | None, typer.Option("--rate", min=1e-12, help="Factor of all learning rates.")]
LimitPictures = Annotated[int | None, typer.Option("--limit", min=1, help="Read at most so many pictures.")]
OverwriteRun = Annotated[bool, typer.Option("--overwrite", help="Replace the run that the folder holds.")]

GROUPS = {
    "Length and place of the run": (
        *("--data", "--folder", "--minutes", "--decay", "--limit", "--seed"),
        *("--resume", "--overwrite", "--decay-only"),
    ),
    "What is trained, and from where": (
        "--start",
        "--fit",
        "--context",
        "--joint-decoder",
        "--latents",
        "--set",
    ),
    "Steps": ("--batch", "--crop", "--crop-share", "--rate"),
    "Machine": ("--check", "--precision", "--device", "--compile", "--capture", "--bundle"),
}


def train(
    profile: Annotated[str, typer.Argument(help="A TOML file, or the name of a shipped profile.")],
    data: Annotated[
        list[Path],
        typer.Option("--data", envvar="LICFRAME_TRAINING_DATA", help="Folders, tar shards or pictures."),
    ],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Run folder; runs/PROFILE if left out.")
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="Length of the run.")] = 60.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's checkpoint.")
    ] = False,
    overwrite: OverwriteRun = False,
    decay_only: Annotated[
        float | None,
        typer.Option(
            "--decay-only",
            min=0.01,
            help="End a copy of the checkpoint in a decay of so many minutes; the checkpoint stays.",
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--start", help="Begin from a weights file instead of the linear codec.")
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            "--fit",
            help="all; context: context and entropy models only, on cached latents of --start's transform; "
            "transform: transform and gains only; detail: the detail layer that the profile names, on its weights.",
        ),
    ] = "all",
    context: Annotated[
        Path | None,
        typer.Option(
            "--context",
            help="With --fit context: begin from the context in this file, fitted to other base weights.",
        ),
    ] = None,
    joint_decoder: Annotated[
        str | None,
        typer.Option(
            "--joint-decoder",
            help="A profile with another synthesis, such as fast, that is trained too: the analysis then learns what both "
            "can decode.",
        ),
    ] = None,
    latents: Annotated[
        int, typer.Option("--latents", min=8, help="Patches whose latents --fit caches.")
    ] = 2000,
    check: Annotated[
        bool, typer.Option("--check", help="Measure some steps and say what the run would see.")
    ] = False,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Patches a step.")] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            "--crop", min=32, help="Side of patches in pixels; a step takes as many pixels as before."
        ),
    ] = None,
    crop_share: Annotated[
        float | None,
        typer.Option(
            "--crop-share",
            min=0.0,
            max=1.0,
            help="Last share of the run that --crop is for; all if left out.",
        ),
    ] = None,
    rate: Rate = None,
    decay: Annotated[
        float,
        typer.Option("--decay", min=0.0, max=1.0, help="Share of the run in which the rates fall to zero."),
    ] = 0.3,
    precision: Precision = "auto",
    device: Device = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the blocks of the transform first (minutes).")
    ] = False,
    capture: Annotated[
        bool, typer.Option("--capture/--no-capture", help="On a GPU, record steps and play them back.")
    ] = True,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", help="Train nothing: gather here what the run needs on a machine without network."
        ),
    ] = None,
    limit: LimitPictures = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the random numbers.")] = 0,
    overrides: Overrides = None,
) -> None:
    """Train the weights of a profile for some minutes.

    Resume as often as you like. The run folder gets a checkpoint every few minutes, a log, the resolved profile, a list of the
    pictures, and at the end weights.safetensors. Every twentieth picture, and one at least of 8 or more, is held
    out and tells of overfitting.

    Several devices share every step: torchrun --standalone --nproc_per_node 2 -m licframe train ... starts a process for each.
    A batch is then shared by all, and the weights are those of one process, but for rounding.

    Example: licframe train tiny --data photographs/ --minutes 5
    """
    from licframe import training
    from licframe.errors import UsageError
    from licframe.profile.profile import latent_profile
    from licframe.training.pictures import refuse_missing

    checked = latent_profile(profile, overrides or ())
    refuse_missing(data)
    if crop is None and crop_share is not None:
        raise UsageError("--crop-share says for how long --crop is; name that, too")
    share = crop and (1.0 if crop_share is None else crop_share)
    asked = {"batch": batch, "rate": rate, "crop": crop, "crop_share": share}
    schedule = training.Schedule.of(
        checked,
        minutes=decay_only or minutes,
        decay=1.0 if decay_only else decay,
        **{name: value for name, value in asked.items() if value is not None},
    )
    hardware = training.hardware_on(device, precision)
    if check:
        _measure(checked, data, start, schedule, hardware, limit)
        return
    if bundle is not None:
        stays = {
            "--fit": fit != "all",
            "--context": context,
            "--joint-decoder": joint_decoder,
            "--resume": resume,
            "--decay-only": decay_only,
            "--limit": limit,
        }
        more = [f"--seed {seed}", f"--precision {precision}", *["--compile"] * compiled]
        _bundle(checked, data, bundle, start, schedule, hardware, stays, more)
        return
    common: dict[str, Any] = {
        "folder": folder or Path("runs") / checked.name,
        "start": start,
        "resume": resume or decay_only is not None,
        "overwrite": overwrite,
        "schedule": schedule,
        "settings": training.Settings(capture=capture, compile=compiled),
        "hardware": hardware,
        "limit": limit,
        "seed": seed,
    }
    if fit == "detail":
        _fit_detail(checked, data, latents, common)
        return
    with ShowProgress(schedule.minutes, hardware.processes.first) as show:
        run = training.train(
            checked,
            data,
            fit=fit,
            context=context,
            joint_decoder=joint_decoder,
            callbacks=[show],
            latents=latents,
            **common,
        )
    made = f"{run.weights}: weights {run.fingerprint[:12]} after {run.patches} patches"
    tell_of(hardware, f"{made}; use them with", f"  licframe run {run.folder / 'profile.toml'}")


def tell_of(hardware: Hardware, *lines: str) -> None:
    """Print lines on a run that ended; of several processes the first does."""
    for line in lines if hardware.processes.first else ():
        typer.echo(line)


def _measure(
    profile: LatentProfile,
    data: list[Path],
    start: Path | None,
    schedule: Schedule,
    hardware: Hardware,
    limit: int | None,
) -> None:
    """Say how fast a run would be."""
    hardware.processes.alone("--check")
    from licframe.training.throughput import throughput

    found = throughput(profile, data, start=start, schedule=schedule, hardware=hardware, limit=limit)
    print_throughput(found, schedule, str(hardware.device))


def _bundle(
    profile: LatentProfile,
    data: list[Path],
    folder: Path,
    start: Path | None,
    schedule: Schedule,
    hardware: Hardware,
    stays: Mapping[str, object],
    more: list[str],
) -> None:
    """Gather a run for another machine; options that it cannot carry are refused."""
    from licframe.errors import UsageError
    from licframe.training.bundle import make_bundle

    hardware.processes.alone("--bundle")
    refused = [name for name, given in stays.items() if given]
    if refused:
        raise UsageError(f"a bundle carries no {', '.join(refused)}; leave it out")
    for line in make_bundle(profile, data, folder, start, schedule, more=more):
        typer.echo(line)


def _fit_detail(profile: LatentProfile, data: list[Path], patches: int, common: dict[str, Any]) -> None:
    """Fit the detail layer of a profile."""
    from licframe import training

    with ShowProgress(common["schedule"].minutes, common["hardware"].processes.first) as show:
        run = training.fit_detail(profile, data, callbacks=[show], patches=patches, **common)
    made = f"{run.weights}: weights {run.fingerprint[:12]} of details"
    tell_of(
        common["hardware"],
        f"{made}; name {run.folder / 'profile.toml'}",
        f"  in [detail] of {profile.source}",
    )


def print_throughput(found: list[Any], schedule: Schedule, device: str) -> None:
    """Print a table of ``training.throughput.Throughput``."""
    rows = [
        [
            one.how,
            f"{one.patches_per_s:,.1f}",
            f"{one.tflops:.3f}",
            f"{one.share:.0%}",
            "-" if one.waiting is None else f"{one.waiting:.1%}",
            f"{one.patches_in(schedule.minutes):,}",
        ]
        for one in found
    ]
    columns = ["step", "patches/s", "TFLOP/s", "of the peak", "drawing", f"in {schedule.minutes:g} minutes"]
    count, side = schedule.shape(0.0)
    print_table(f"{device}, {count} patches of {side}x{side} a step", columns, rows)


class ShowProgress:
    """A progress bar on a terminal, a line per line of the log elsewhere, with the time left.

    Args:
        minutes: length of the run.
        first: of several processes the first shows a bar; the others, which no run tells anything, none.
    """

    def __init__(self, minutes: float, first: bool = True) -> None:
        self._minutes, self._first = minutes, first

    def __enter__(self) -> Self:
        self._stack, self._bar = ExitStack(), None
        if self._first:
            self._bar = self._stack.enter_context(progress_bar("training", sys.stdout))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def line(self, line: LogLine) -> None:
        """Show a line of the log."""
        if self._bar is None:
            left = self._minutes * (1 - line.progress)
            typer.echo(f"{_text(line)}, {left:.1f} min left")
        else:
            self._bar.update(line.progress, text=_text(line))

    def remark(self, text: str) -> None:
        """Show a remark."""
        typer.echo(text) if self._bar is None else self._bar.remark(text)


def _text(line: LogLine) -> str:
    psnr = ""
    if any(line.psnr_by_quality):  # a run on latents shows no picture
        values = ("-" if p is None else f"{p:.1f}" for p in line.psnr_by_quality)
        psnr = f"PSNR {' '.join(values)} dB "
    held = "" if line.held_out is None else f" held out {line.held_out:.4f}"
    return (
        f"step {line.step} loss {line.loss:.4f}{held} bpp {line.bpp:.3f} {psnr}"
        f"{line.patches_per_s:.1f} patches/s"
    )
