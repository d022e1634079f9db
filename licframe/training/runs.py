"""The two ways to make weights: ``train`` and ``distill``. Neither prints; both return what they did.

from licframe.training import Schedule, train

run = train("tiny", ["photographs/"], folder="runs/tiny", schedule=Schedule(minutes=5))
run.weights             # runs/tiny/weights.safetensors
run.lines[-1].held_out  # loss on pictures that were never trained on
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import torch

from licframe.codec.loading import build, load_latent
from licframe.errors import UsageError, WeightsMismatchError
from licframe.model.distortions import DISTORTIONS
from licframe.model.interfaces import Transform
from licframe.model.latent_model import LatentModel
from licframe.profile import weights
from licframe.profile.profile import SMALLEST_PATCH, LatentProfile, Training, latent_profile
from licframe.runtime.extras import require
from licframe.training.beginnings import (
    INITIAL_PATCHES,
    another_decoder,
    begin_context,
    begin_decoder,
    begin_linear,
    fingerprints,
    keep_the_rest,
    take_all_but_decoder,
)
from licframe.training.distillation import Distillation
from licframe.training.hardware import Hardware, hardware_on
from licframe.training.loop import Callback, Settings, Trainer, heard
from licframe.training.objective import Objective, Rate, RateDistortion, l1_term
from licframe.training.optimiser import Optimiser
from licframe.training.results import Run, carry_out, refuse_folder
from licframe.training.schedule import Schedule
from licframe.training.supply import Data, Name, Pictures

FITS = ("all", "context", "transform")

MakeObjective = Callable[[LatentModel, Transform | None], Objective]
"""Makes an objective of a codec and of a transform whose synthesis is trained with its own, or None."""


def train(
    profile: Name | LatentProfile,
    data: Data,
    *,
    folder: Name,
    start: Path | None = None,
    fit: str = "all",
    context: Path | None = None,
    joint_decoder: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    schedule: Schedule | None = None,
    optimiser: Optimiser | None = None,
    objective: MakeObjective | None = None,
    callbacks: Sequence[Callback] = (),
    settings: Settings | None = None,
    hardware: Hardware | None = None,
    latents: int = 2000,
    limit: int | None = None,
    seed: int = 0,
) -> Run:
    """Train the weights of a profile.

    Args:
        profile: a name, a TOML file, or a checked profile.
        data: folders, tar shards or pictures, of which every twentieth is held out, and one at least of 8 or more; or a source of one's own.
        folder: of the run; its checkpoint is what ``resume`` goes on from. One with a checkpoint is refused otherwise,
            unless it may be overwritten.
        start: weights to begin from, instead of the best linear codec; with another ``fit``, base weights.
        fit: all; context, which fits scheduler and entropy models on cached latents of the base weights' transform;
            or transform, which trains transform and gains. ``fit_detail`` fits a detail layer.
        context: with fit context, weights whose context to begin from.
        joint_decoder: a profile with another synthesis for the same latents, trained together with the profile's own.
        schedule, optimiser, objective: by default as the profile's ``[training]`` says; see ``Schedule.of``.
        callbacks: are told each line of the log; the folder gets it anyway.
        latents: patches whose latents are cached for fit context.
        limit: read at most this many pictures.

    Raises:
        UsageError: what is asked for does not go together. FileError: the folder holds another run, or none to resume.
        LicframeError: training diverged.
    """
    checked = profile if isinstance(profile, LatentProfile) else latent_profile(str(profile))
    folder, base = Path(folder), start or checked.weights_path
    schedule, hardware = schedule or Schedule.of(checked), hardware or hardware_on()
    callbacks = heard(callbacks, hardware.processes)
    _check(fit, context, joint_decoder, base, start if resume else None, schedule)
    objective = objective or default_objective(checked.training, fit, schedule)
    begun = fingerprints(start=base if fit != "all" else start, context=context)
    kept = (start, context, base if fit != "all" else None)
    refuse_folder(folder, kept, resume=resume, overwrite=overwrite)
    with torch.random.fork_rng(), hardware.settings():
        torch.manual_seed(seed)
        pictures = Pictures.of(data, checked.training, schedule, hardware, limit)
        for text in pictures.summary(schedule):
            _tell(callbacks, text)
        model, other = build(checked), None
        if joint_decoder is not None:
            other = another_decoder(model, checked, joint_decoder, base if resume else start)
        if fit != "all" and base is not None:
            keep_the_rest(model, checked, fit, base)
        elif start is not None and not resume:
            weights.load(start, model, checked.structure())
        elif not resume:
            begin_linear(
                model,
                None if other is None else other[0],
                pictures.training.batch(INITIAL_PATCHES, schedule.patch)[0].cpu(),
            )
        model.to(hardware.device)
        if fit == "context" and base is not None:
            pictures = pictures.cached(model, latents, schedule.patch)
            if begin_context(model, pictures.training, base, context):
                _tell(callbacks, f"starting from the context of {(context or base).name}")
        trainer = Trainer(
            model,
            pictures.training,
            objective(model, None if other is None else other[0].transform),
            schedule,
            hardware,
            optimiser=optimiser,
            folder=folder,
            held_out=pictures.fixed(schedule.patch),
            callbacks=callbacks,
            settings=settings,
            seed=seed,
            of={
                "profile": str(checked.structure()),
                "fit": fit,
                "base": begun.get("start", "") if fit != "all" else "",
            },
        )
        return carry_out(
            trainer,
            checked,
            pictures.listing,
            weights.files_of(base)[0] if fit != "all" and base is not None else None,
            other,
            resume=resume,
            record=begun,
            tabulate=fit == "transform",
        )


def distill(
    profile: Name | LatentProfile,
    data: Sequence[Name],
    *,
    folder: Name,
    teacher: Name = "balanced",
    start: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    schedule: Schedule | None = None,
    optimiser: Optimiser | None = None,
    objective: Callable[[LatentModel, LatentModel], Objective] = Distillation,
    callbacks: Sequence[Callback] = (),
    settings: Settings | None = None,
    hardware: Hardware | None = None,
    patches: int = 2000,
    limit: int | None = None,
    seed: int = 0,
) -> Run:
    """Train a small synthesis on a teacher's pictures and features; analysis, context and files stay the teacher's.

    Args:
        profile: one whose transform is the teacher's with another synthesis.
        teacher: a profile with weights.
        start: weights with a synthesis distilled before, to begin from instead of the teacher's.
        objective: of student and teacher.
        patches: that the teacher decodes once; 2000 take 1.4 GB.

    The other arguments are those of ``train``.

    Raises:
        UsageError: what is asked for does not go together. FileError: the folder holds another run, or none to resume.
        LicframeError: training diverged.
    """
    checked, master = (
        profile if isinstance(profile, LatentProfile) else latent_profile(str(profile)),
        latent_profile(str(teacher)),
    )
    folder = Path(folder)
    if master.weights_path is None:
        raise WeightsMismatchError(f"the teacher {teacher} has no weights; train it first")
    schedule, hardware = schedule or Schedule.of(checked), hardware or hardware_on()
    callbacks = heard(callbacks, hardware.processes)
    if schedule.crop_share:
        raise UsageError("patches are decoded once, in one size: leave out the schedule's crop_share")
    begun = fingerprints(start=start)
    refuse_folder(folder, (start, master.weights_path), resume=resume, overwrite=overwrite)
    # What codes is the teacher's, whatever else the student's profile names.
    made = attrs.evolve(master, name=checked.name, transform=checked.transform, training=checked.training)
    with torch.random.fork_rng(), hardware.settings():
        torch.manual_seed(seed)
        pictures = Pictures.of(data, checked.training, schedule, hardware, limit)
        for text in pictures.summary(schedule):
            _tell(callbacks, text)
        old, new = load_latent(master), build(made)
        take_all_but_decoder(new, old.model)
        new.to(hardware.device)
        new.transform.start_from(old.model.transform)
        if start is not None:
            begin_decoder(new, start)
        decoded = pictures.decoded(old.model.to(hardware.device), patches, schedule.patch, hardware)
        trainer = Trainer(
            new,
            decoded.training,
            objective(new, old.model),
            schedule,
            hardware,
            optimiser=optimiser,
            folder=folder,
            held_out=decoded.fixed(schedule.patch),
            callbacks=callbacks,
            settings=settings,
            seed=seed,
            of={"profile": str(made.structure()), "teacher": old.fingerprint.hex()},
        )
        record = {**begun, "teacher": old.fingerprint.hex()}
        base = master.weights_path
        return carry_out(trainer, made, pictures.listing, base, resume=resume, record=record)


def default_objective(training: Training, fit: str, schedule: Schedule) -> MakeObjective:
    """Return the objective that a profile's ``[training]`` asks for.

    Raises:
        UsageError: patches are too small for it. MissingPackageError: it needs pytorch-msssim.
    """
    if fit == "context":
        return lambda model, _: Rate(model, schedule.patch**2)
    found, needed = (
        min(schedule.shape(progress)[1] for progress in (0.0, 1.0)),
        SMALLEST_PATCH[training.distortion],
    )
    if training.distortion == "ms-ssim":
        require("pytorch_msssim", "training for MS-SSIM")
    if found < needed:
        raise UsageError(
            f"distortion {training.distortion} needs patches of at least {needed} pixels, not {found}"
        )
    terms = (l1_term(training.beta),) if training.beta else ()
    distortion = DISTORTIONS[training.distortion]
    return lambda model, other: RateDistortion(model, distortion, terms, auxiliary=other)


def _check(
    fit: str,
    context: Path | None,
    joint_decoder: str | None,
    base: Path | None,
    resumed_from: Path | None,
    schedule: Schedule,
) -> None:
    if fit not in FITS:
        raise UsageError(f"--fit {fit}: expected {', '.join(FITS)}")
    if fit != "context" and context is not None:
        raise UsageError("--context is for --fit context; a whole codec begins from --start")
    if fit != "all" and joint_decoder is not None:
        raise UsageError("another synthesis is trained with a whole codec; leave out --fit")
    if fit != "all" and base is None:
        raise UsageError(f"--fit {fit} needs base weights: name them with --start")
    if fit == "all" and resumed_from is not None:
        raise UsageError("--start is for a new run; a run that is resumed goes on from its checkpoint")
    if fit != "all" and schedule.crop_share:
        raise UsageError("--crop is for a whole codec; with --fit set the patch: --set training.patch=512")


def _tell(callbacks: Sequence[Callback], text: str) -> None:
    for callback in callbacks:
        callback.remark(text)
