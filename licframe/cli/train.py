"""``licframe train``: make weights for a profile."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from licframe.cli.options import Overrides, Precision
from licframe.profile import Weights

if TYPE_CHECKING:
    from licframe.codec import Codec
    from licframe.training.data import Photographs
    from licframe.training.latents import CachedLatents
    from licframe.training.loop import Leg, Trainer

_CHECK_STEPS = 20


def train(
    profile: Annotated[str, typer.Argument(help="A TOML file, or the name of a shipped profile.")],
    data: Annotated[
        list[Path],
        typer.Option("--data", envvar="LICFRAME_TRAINING_DATA", help="Folders, tar shards or pictures."),
    ],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Run folder; runs/PROFILE if left out.")
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="Length of the leg.")] = 60.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's checkpoint.")
    ] = False,
    start: Annotated[
        Path | None, typer.Option("--start", help="Begin from a weights file instead of the linear codec.")
    ] = None,
    fit: Annotated[
        str | None,
        typer.Option(
            "--fit",
            help="context: train scheduler and entropy models only, on cached latents of --start's transform. "
            "transform: train transform and gains only.",
        ),
    ] = None,
    context: Annotated[
        Path | None,
        typer.Option(
            "--context",
            help="With --fit context: begin from the context in this file, fitted to another trunk.",
        ),
    ] = None,
    along: Annotated[
        str | None,
        typer.Option(
            "--along",
            help="A profile with another synthesis, such as fast, that learns along: the analysis then learns what both "
            "can decode.",
        ),
    ] = None,
    latents: Annotated[
        int, typer.Option("--latents", min=8, help="Patches whose latents --fit caches.")
    ] = 2000,
    check: Annotated[bool, typer.Option("--check", help="Do 20 steps and predict the leg.")] = False,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Patches a step.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Factor of all learning rates.")] = None,
    decay: Annotated[
        float, typer.Option("--decay", min=0.0, max=1.0, help="Share of the leg in which the rates fall.")
    ] = 0.3,
    precision: Precision = "auto",
    accelerator: Annotated[str, typer.Option("--accelerator", help="auto, cpu or cuda.")] = "auto",
    limit: Annotated[int | None, typer.Option("--limit", help="Read at most so many pictures.")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    overrides: Overrides = None,
) -> None:
    """Train the weights of a profile for some minutes; resume as often as you like.

    The run folder gets a checkpoint every few minutes, a log, the resolved profile, a list of the
    pictures, and at the end weights.safetensors, made from the averaged weights.
    """
    from licframe.errors import LicframeError
    from licframe.profile import load_profile

    checked = load_profile(profile, overrides or ())
    try:
        from licframe.training.hardware import fabric_on
    except ImportError as error:
        raise LicframeError('training needs more packages: pip install "licframe[train]"') from error

    from licframe import weights
    from licframe.evaluation.complexity import complexity
    from licframe.loading import build
    from licframe.training.data import Photographs
    from licframe.training.latents import RateObjective
    from licframe.training.loop import Leg, Trainer
    from licframe.training.objective import Objective

    trunk = start or checked.weights_path
    if fit not in (None, "context", "transform"):
        raise LicframeError(f"--fit {fit}: expected context or transform")
    if fit != "context" and context is not None:
        raise LicframeError("--context is for --fit context; a whole codec begins from --start")
    if fit is not None and along is not None:
        raise LicframeError("--along is for a whole codec; leave out --fit, or use licframe distill")
    if fit is not None and trunk is None:
        raise LicframeError("--fit needs weights of a trunk: name them with --start")
    folder = folder or Path("runs") / checked.name
    path = folder / "weights.safetensors"
    refuse_overwriting(path, start, context, trunk if fit else None)
    defaults = checked.training
    leg = Leg(
        minutes=minutes,
        steps=_CHECK_STEPS if check else None,
        batch=batch or defaults.batch,
        patch=defaults.patch,
        beta=defaults.beta,
        distortion=defaults.distortion,
        rate=rate or defaults.rate,
        decay=decay,
        seed=seed,
        log_every=_CHECK_STEPS if check else 50,
    )
    fabric = fabric_on(accelerator, precision)
    photographs = Photographs(data, limit, fabric.device, defaults.candidates)
    typer.echo(
        f"{len(photographs.images)} photographs, {photographs.megapixels:.0f} megapixels, {fabric.device}"
    )
    codec = build(checked)
    place = folder / "check" if check else folder
    other = None if along is None else another_decoder(codec, along, trunk if resume else start)
    if fit == "transform":
        assert trunk is not None
        weights.load(trunk, codec, checked.structure())
        for module in (codec.scheduler, codec.entropy_models):
            module.requires_grad_(False)
    if fit == "context":
        assert trunk is not None
        cached = cached_latents(codec, photographs, latents, leg, trunk, context)
        trainer = Trainer(codec, cached, leg, place, fabric, RateObjective(codec, cached.pixels))
    else:
        also = None if other is None else other.transform
        objective = Objective(codec, leg.beta, leg.distortion, also)
        trainer = Trainer(codec, photographs, leg, place, fabric, objective)
    if resume:
        trainer.resume()
    elif fit is None and start is not None:
        weights.load(start, codec, checked.structure())
    elif fit is None:
        trainer.initialise(photographs)
        learn = None if other is None else getattr(other.transform, "learn_from", None)
        if learn is not None:
            learn(codec.transform)
    prepare_folder(trainer.folder, checked, photographs, leg)
    with show_progress() as show:
        figures = trainer.run(show)
    if check:
        per_leg = figures["patches_per_s"] * 60 * minutes
        typer.echo(
            f"{figures['patches_per_s']:.1f} patches/s of {leg.patch}x{leg.patch}, {100 * figures['waiting']:.1f} % "
            f"of the time waiting for data; {minutes:g} minutes would see {per_leg:.0f} patches"
        )
        return
    codec = codec.cpu()
    if fit == "transform":
        codec.tabulate()  # its gains are no longer the trunk's
    record = record_of(trainer, photographs, start=trunk if fit else start, context=context)
    record |= complexity(codec)
    fingerprint = codec.save(path, record, weights.files_of(trunk)[0] if fit and trunk else None)
    if other is not None:
        save_decoder(other.cpu(), folder / f"weights+{other.profile.name}.safetensors", record, path)
    codec.freeze()
    typer.echo(f"{path}: weights {fingerprint[:12]} after {trainer.patches} patches; use them with")
    typer.echo(f"  licframe run {folder / 'profile.toml'}")


def another_decoder(codec: Codec, name: str, trunk: Path | None) -> Codec:
    """Return the codec with the synthesis of another profile, all else frozen: as fitted to ``trunk``, or as it begins.

    Raises:
        LicframeError: its transform is not the codec's with another synthesis.
    """
    from licframe import weights
    from licframe.errors import LicframeError, WeightsMismatchError
    from licframe.loading import build
    from licframe.profile import load_profile

    profile = load_profile(name)
    other = build(attrs.evolve(codec.profile, name=profile.name, transform=profile.transform))
    state, own = codec.transform.state_dict(), other.transform.state_dict()
    wrong = [
        k for k, v in own.items() if "synthesis" not in k and state.get(k, v[..., :0]).shape != v.shape
    ]
    if wrong:
        raise LicframeError(
            f"--along {name}: its transform has another {wrong[0]} than {codec.profile.name}'s; it must differ in the "
            "synthesis alone"
        )
    if trunk is not None:
        try:
            weights.load(trunk, other, other.profile.structure())
        except WeightsMismatchError:  # none is fitted to it
            weights.load_shared(trunk, other)
    for key, parameter in other.named_parameters():
        parameter.requires_grad_(key.startswith("transform.synthesis"))
    return other


def save_decoder(other: Codec, path: Path, record: dict[str, Any], trunk: Path) -> None:
    """Write a synthesis that was trained along, beside the trunk's new weights."""
    from licframe import weights

    state = {k: v.clone() for k, v in other.transform.state_dict().items() if "synthesis" in k}
    weights.load_shared(trunk, other)
    other.transform.load_state_dict(state, strict=False)
    other.save(path, record, trunk)
    typer.echo(f"{path}: another synthesis for the same files")


def cached_latents(
    codec: Codec, photographs: Photographs, count: int, leg: Leg, trunk: Path, context: Path | None
) -> CachedLatents:
    """Return the latents of a trunk's transform; begin the codec's context from another, or from what they show.

    Raises:
        LicframeError: ``context`` does not fit.
    """
    import random

    from licframe import weights
    from licframe.adoption import adopt
    from licframe.errors import LicframeError
    from licframe.loading import entropy_models
    from licframe.training.latents import CachedLatents

    weights.load_shared(trunk, codec)
    cached = CachedLatents(codec, photographs, count, leg.patch, random.Random(leg.seed))
    sample = cached.batch(min(192, count), leg.patch, random.Random(leg.seed))[0]
    codec.scheduler.initialise(sample, codec.units.std)
    source = context or trunk
    state = weights.part_state(source, "scheduler")
    if adopt(codec, state, entropy_models(weights.read_metadata(source)["structure"])):
        typer.echo(f"starting from the context of {source.name}")
    elif context is not None:
        raise LicframeError(f"--context {context} holds another scheduler or other sizes; leave it out")
    return cached


def refuse_overwriting(path: Path, *sources: Path | None) -> None:
    """Raise where a leg would write over the weights it begins from."""
    from licframe.errors import LicframeError

    for kept in sources:
        if kept is not None and path.exists() and path.samefile(kept):
            raise LicframeError(
                f"the leg would overwrite {kept}, which it begins from; use another --folder"
            )


def prepare_folder(folder: Path, profile: Any, photographs: Photographs, leg: Leg) -> None:
    """Write what a run depends on beside the weights that it will make: resolved profile, data, leg, environment."""
    own = attrs.evolve(profile, weights=Weights("weights.safetensors"))
    (folder / "profile.toml").write_text(own.to_toml())
    (folder / "data.sha256").write_text(photographs.listing)
    (folder / "environment.json").write_text(json.dumps(_environment(leg), indent=2))


def record_of(trainer: Trainer, photographs: Photographs, **begun: Path | None) -> dict[str, Any]:
    """Return what weights say of the leg that made them, with the fingerprints of what it began from."""
    from licframe.weights import read_metadata

    return {
        "patches": trainer.patches,
        "minutes": round(trainer.minutes, 1),
        "leg": attrs.asdict(trainer.leg),
        "pictures": len(photographs.images),
        "data": hashlib.sha256(photographs.listing.encode()).hexdigest(),
        "device": str(trainer.fabric.device),
        **{role: read_metadata(path)["fingerprint"] for role, path in begun.items() if path is not None},
    }


def _environment(leg: Leg) -> dict[str, Any]:
    import platform
    import subprocess

    import torch

    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return {
        "leg": attrs.asdict(leg),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "git": git.stdout.strip() or None,
    }


class show_progress:  # noqa: N801 - used like a function
    """A progress bar on a terminal, a line per log entry elsewhere."""

    def __enter__(self) -> Any:
        if not sys.stdout.isatty():
            return lambda figures: typer.echo(_line(figures))
        from rich.progress import Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            *Progress.get_default_columns()[:3], TimeRemainingColumn(), TextColumn("{task.fields[text]}")
        )
        self._bar.start()
        task = self._bar.add_task("training", total=1.0, text="")
        return lambda figures: self._bar.update(task, completed=figures["elapsed"], text=_line(figures))

    def __exit__(self, *_: object) -> None:
        if sys.stdout.isatty():
            self._bar.stop()


def _line(figures: dict[str, Any]) -> str:
    psnr = " ".join("-" if p is None else f"{p:.1f}" for p in figures["psnr_by_quality"])
    return (
        f"step {figures['step']} loss {figures['loss']:.4f} bpp {figures['bpp']:.3f} PSNR {psnr} dB "
        f"{figures['patches_per_s']:.1f} patches/s"
    )
