"""The two ways to make weights: ``train`` and ``distill``. Neither prints; both return what they did.

from licframe.training import Schedule, train

run = train("tiny", ["photographs/"], folder="runs/tiny", schedule=Schedule(minutes=5))
run.weights             # runs/tiny/weights.safetensors
run.lines[-1].held_out  # loss on pictures that were never trained on
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

import attrs
import torch
from torch import Tensor

from licframe import weights
from licframe.codec import Codec
from licframe.errors import LicframeError, WeightsMismatchError
from licframe.interfaces import Transform
from licframe.loading import build, entropy_models, load
from licframe.profile import Profile, Training, load_profile
from licframe.training.data import HeldOut, Photographs, Source
from licframe.training.distillation import DecodedPatches, Distillation
from licframe.training.hardware import Hardware, hardware_on
from licframe.training.latents import CachedLatents
from licframe.training.loop import Callback, Settings, Trainer
from licframe.training.objective import DISTORTIONS, Objective, Rate, RateDistortion, l1_term
from licframe.training.optimiser import Optimiser
from licframe.training.pictures import find_pictures, split
from licframe.training.results import Run, finish, prepare_folder
from licframe.training.schedule import Schedule
from licframe.training.transfer import transfer_context

FITS = ("all", "context", "transform")
_INITIAL_PATCHES = 192
_HELD_OUT_PATCHES = 32

Name = str | PathLike[str]
"""A path, or the name of a profile."""

Data = Source | Sequence[Name]
"""What a run learns from: folders, tar shards or pictures; or a source of one's own."""

MakeObjective = Callable[[Codec, Transform | None], Objective]
"""Makes an objective of a codec and of a transform whose synthesis learns along, or None."""


def schedule_of(training: Training) -> Schedule:
    """Return a schedule with the batch, patch and rate of a profile's ``[training]``."""
    return Schedule(batch=training.batch, patch=training.patch, rate=training.rate)


def train(
    profile: Name | Profile,
    data: Data,
    *,
    folder: Name,
    start: Path | None = None,
    fit: str = "all",
    context: Path | None = None,
    joint_decoder: str | None = None,
    resume: bool = False,
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
        data: of pictures, every twentieth is held out.
        folder: of the run; its checkpoint is what ``resume`` goes on from.
        start: weights to begin from, instead of the best linear codec; with another ``fit``, those of a trunk.
        fit: all; context, which fits scheduler and entropy models on cached latents of the trunk's transform; or
            transform, which trains transform and gains.
        context: with fit context, weights whose context to begin from.
        joint_decoder: a profile with another synthesis for the same latents, which learns along.
        schedule, optimiser, objective: by default as the profile's ``[training]`` says.
        callbacks: are told each line of the log; the folder gets it anyway.
        latents: patches whose latents are cached for fit context.
        limit: read at most this many pictures.

    Raises:
        LicframeError: what is asked for does not go together, or training diverged.
    """
    checked = profile if isinstance(profile, Profile) else load_profile(str(profile))
    folder, trunk = Path(folder), start or checked.weights_path
    _check(fit, context, joint_decoder, trunk)
    refuse_overwriting(folder / "weights.safetensors", start, context, trunk if fit != "all" else None)
    schedule, hardware = schedule or schedule_of(checked.training), hardware or hardware_on()
    with torch.random.fork_rng(), hardware.settings():
        torch.manual_seed(seed)
        pictures = Pictures.of(data, checked.training, schedule.largest, hardware, limit)
        _tell(callbacks, f"{pictures.summary()}, on {hardware.device}")
        codec, other = build(checked), None
        if joint_decoder is not None:
            other = another_decoder(codec, joint_decoder, trunk if resume else start)
        if fit != "all" and trunk is not None:
            _keep_the_rest(codec, fit, trunk)
        elif start is not None and not resume:
            weights.load(start, codec, checked.structure())
        elif not resume:
            _begin_linear(codec, other, pictures.training.batch(_INITIAL_PATCHES, schedule.patch)[0].cpu())
        codec.to(hardware.device)
        if fit == "context" and trunk is not None:
            pictures = pictures.cached(codec, latents, schedule.patch)
            if _begin_context(codec, pictures.training, trunk, context):
                _tell(callbacks, f"starting from the context of {(context or trunk).name}")
        make = objective or default_objective(checked.training, fit, schedule.patch)
        trainer = Trainer(
            codec,
            pictures.training,
            make(codec, None if other is None else other.transform),
            schedule,
            hardware,
            optimiser=optimiser,
            folder=folder,
            held_out=pictures.fixed(schedule.patch),
            callbacks=(*prepare_folder(folder, checked, pictures.listing, schedule, seed), *callbacks),
            settings=settings,
            seed=seed,
        )
        if resume:
            trainer.resume()
        trainer.run()
        begun = {"start": trunk if fit != "all" else start, "context": context}
        base = weights.files_of(trunk)[0] if fit != "all" and trunk is not None else None
        return finish(trainer, pictures.listing, begun, base, other, tabulate=fit == "transform")


def distill(
    profile: Name | Profile,
    data: Sequence[Name],
    *,
    folder: Name,
    teacher: Name = "balanced",
    start: Path | None = None,
    resume: bool = False,
    schedule: Schedule | None = None,
    optimiser: Optimiser | None = None,
    objective: Callable[[Codec, Codec], Objective] = Distillation,
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
        LicframeError: what is asked for does not go together, or training diverged.
    """
    checked, master = (
        profile if isinstance(profile, Profile) else load_profile(str(profile)),
        load_profile(str(teacher)),
    )
    folder = Path(folder)
    if master.weights_path is None:
        raise LicframeError(f"the teacher {teacher} has no weights; train it first")
    refuse_overwriting(folder / "weights.safetensors", start, master.weights_path)
    schedule, hardware = schedule or schedule_of(checked.training), hardware or hardware_on()
    # What codes is the teacher's, whatever else the student's profile names.
    made = attrs.evolve(master, name=checked.name, transform=checked.transform, training=checked.training)
    with torch.random.fork_rng(), hardware.settings():
        torch.manual_seed(seed)
        pictures = Pictures.of(data, checked.training, schedule.largest, hardware, limit)
        old, new = load(master).to(hardware.device), build(made)
        weights.load_shared(master.weights_path, new)
        new.to(hardware.device)
        _learn_from(new.transform, old.transform)
        if start is not None:
            _begin_synthesis(new, start)
        decoded = pictures.decoded(old, patches, schedule.patch, hardware)
        trainer = Trainer(
            new,
            decoded.training,
            objective(new, old),
            schedule,
            hardware,
            optimiser=optimiser,
            folder=folder,
            held_out=decoded.fixed(schedule.patch),
            callbacks=(*prepare_folder(folder, made, pictures.listing, schedule, seed), *callbacks),
            settings=settings,
            seed=seed,
        )
        if resume:
            trainer.resume()
        trainer.run()
        return finish(
            trainer,
            pictures.listing,
            {"start": start},
            master.weights_path,
            record={"teacher": old.fingerprint.hex()},
        )


@attrs.frozen(eq=False)
class Pictures:
    """What a run learns from, and what is held out of the same kind.

    Attributes:
        listing: SHA-256 and name of each picture that is trained on; empty for a source of one's own.
    """

    training: Source
    held_out: Source | None = None
    listing: str = ""

    @classmethod
    def of(
        cls, data: Data, training: Training, patch: int, hardware: Hardware, limit: int | None = None
    ) -> Pictures:
        """Read pictures and hold some out, for patches of at most ``patch`` pixels a side."""
        if not isinstance(data, Sequence):
            return cls(data)
        files = split(find_pictures([Path(path) for path in data])[:limit])
        kept, held = (
            Photographs(some, device=hardware.device, candidates=training.candidates, patch=patch)
            if some
            else None
            for some in files
        )
        assert kept is not None
        return cls(kept, held, kept.listing)

    def summary(self) -> str:
        """Return in words what there is."""
        if not isinstance(self.training, Photographs):
            return "pictures of a source"
        held = f", {self.held_out.count} held out" if isinstance(self.held_out, Photographs) else ""
        return f"{self.training.count} pictures, {self.training.megapixels:.0f} megapixels{held}"

    def fixed(self, patch: int) -> HeldOut | None:
        """Return what the held-out loss is measured on."""
        return None if self.held_out is None else HeldOut(self.held_out, _HELD_OUT_PATCHES, patch)

    def cached(self, codec: Codec, count: int, patch: int) -> Pictures:
        """Return latents of the codec's transform in place of pictures."""
        return self._of_each(lambda source, number: CachedLatents(codec, source, number, patch), count)

    def decoded(self, teacher: Codec, count: int, patch: int, hardware: Hardware) -> Pictures:
        """Return what a teacher decodes in place of pictures."""
        return self._of_each(
            lambda source, number: DecodedPatches(teacher, source, number, patch, hardware), count
        )

    def _of_each(self, make: Callable[[Source, int], Source], count: int) -> Pictures:
        held = None if self.held_out is None else make(self.held_out, 2 * _HELD_OUT_PATCHES)
        return attrs.evolve(self, training=make(self.training, count), held_out=held)


def default_objective(training: Training, fit: str, patch: int) -> MakeObjective:
    """Return the objective that a profile's ``[training]`` asks for."""
    if fit == "context":
        return lambda codec, _: Rate(codec, patch * patch)
    terms = (l1_term(training.beta),) if training.beta else ()
    distortion = DISTORTIONS[training.distortion]
    return lambda codec, other: RateDistortion(codec, distortion, terms, auxiliary=other)


def another_decoder(codec: Codec, name: str, trunk: Path | None) -> Codec:
    """Return the codec with the synthesis of another profile, all else frozen: as fitted to ``trunk``, or as it begins.

    Raises:
        LicframeError: its transform is not the codec's with another synthesis.
    """
    profile = load_profile(name)
    other = build(attrs.evolve(codec.profile, name=profile.name, transform=profile.transform))
    state, own = codec.transform.state_dict(), other.transform.state_dict()
    wrong = [
        k for k, v in own.items() if "synthesis" not in k and state.get(k, v[..., :0]).shape != v.shape
    ]
    if wrong:
        raise LicframeError(
            f"{name} cannot learn along: its transform has another {wrong[0]} than {codec.profile.name}'s; it must "
            "differ in the synthesis alone"
        )
    if trunk is not None:
        try:
            weights.load(trunk, other, other.profile.structure())
        except WeightsMismatchError:  # none is fitted to it
            weights.load_shared(trunk, other)
    for key, parameter in other.named_parameters():
        parameter.requires_grad_(key.startswith("transform.synthesis"))
    return other


def refuse_overwriting(path: Path, *sources: Path | None) -> None:
    """Raise where a run would write over the weights it begins from."""
    for kept in sources:
        if kept is not None and path.exists() and path.samefile(kept):
            raise LicframeError(
                f"the run would overwrite {kept}, which it begins from; use another --folder"
            )


def _check(fit: str, context: Path | None, joint_decoder: str | None, trunk: Path | None) -> None:
    if fit not in FITS:
        raise LicframeError(f"--fit {fit}: expected {', '.join(FITS)}")
    if fit != "context" and context is not None:
        raise LicframeError("--context is for --fit context; a whole codec begins from --start")
    if fit != "all" and joint_decoder is not None:
        raise LicframeError("another synthesis learns along with a whole codec; leave out --fit")
    if fit != "all" and trunk is None:
        raise LicframeError(f"--fit {fit} needs weights of a trunk: name them with --start")


def _tell(callbacks: Sequence[Callback], text: str) -> None:
    for callback in callbacks:
        callback.remark(text)


def _begin_linear(codec: Codec, other: Codec | None, images: Tensor) -> None:
    """Set the best linear codec of some patches."""
    codec.initialise(images)
    if other is not None:
        _learn_from(other.transform, codec.transform)


def _learn_from(student: Transform, teacher: Transform) -> None:
    learn = getattr(student, "learn_from", None)
    if learn is not None:
        learn(teacher)


def _keep_the_rest(codec: Codec, fit: str, trunk: Path) -> None:
    """Load a trunk and leave only some parts to train."""
    if fit == "transform":
        weights.load(trunk, codec, codec.profile.structure())
    else:
        weights.load_shared(trunk, codec)
    coding = (codec.scheduler, codec.entropy_models)
    codec.requires_grad_(fit == "transform")
    for module in coding:
        module.requires_grad_(fit == "context")


def _begin_context(codec: Codec, cached: Source, trunk: Path, context: Path | None) -> bool:
    """Begin from the context of other weights where it fits, else from what latents show; return whether it fits.

    Raises:
        LicframeError: ``context`` does not fit.
    """
    codec.scheduler.initialise(cached.batch(_INITIAL_PATCHES, 0)[0], codec.units.std)
    source = context or trunk
    state = weights.part_state(source, "scheduler")
    fitted = transfer_context(codec, state, entropy_models(weights.read_metadata(source)["structure"]))
    if not fitted and context is not None:
        raise LicframeError(f"--context {context} holds another scheduler or other sizes; leave it out")
    return fitted


def _begin_synthesis(student: Codec, start: Path) -> None:
    """Begin from a synthesis that was distilled before.

    Raises:
        LicframeError: the file holds none, or another.
    """
    state = {k: v for k, v in weights.part_state(start, "transform").items() if "synthesis" in k}
    own = student.transform.state_dict()
    other = [k for k, v in state.items() if k not in own or own[k].shape != v.shape]
    if other or not state:
        raise LicframeError(
            f"--start {start} holds {'another' if state else 'no'} synthesis{f' ({other[0]})' if other else ''}; "
            "leave it out, or give the student the options that it was made with"
        )
    student.transform.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()}, strict=False)
