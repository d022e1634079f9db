"""What a run leaves: weights with a record of how they were made, and what it depended on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent, save
from licframe.errors import FileError, UsageError
from licframe.model.latent_model import LatentModel
from licframe.profile import weights
from licframe.profile.profile import LatentProfile, Weights
from licframe.runtime.atomic import make_folder, write_atomically, write_json
from licframe.runtime.environment import environment
from licframe.training.logs import JsonLog, TensorBoardLog, logs_in
from licframe.training.loop import LogLine, Trainer
from licframe.training.schedule import Schedule
from licframe.training.summary import summary_of


@attrs.frozen(eq=False)
class Run:
    """What a run did.

    Attributes:
        folder: holds the files below, the log, the resolved profile, the list of pictures and the checkpoint.
        weights: the new weights; fingerprint: theirs.
        undecayed: weights before the decay, in float16: a next run goes on from them, as from the checkpoint.
        auxiliary: weights of the synthesis that was trained with the codec, where one was.
        patches, minutes: of this run and those that it went on from.
        lines: of the log.
    """

    folder: Path
    weights: Path
    fingerprint: str
    undecayed: Path
    auxiliary: Path | None
    patches: int
    minutes: float
    lines: tuple[LogLine, ...]

    def load(self) -> LatentCodec:
        """Return the codec with the new weights, ready to code."""
        return load_latent(self.folder / "profile.toml")


def refuse_overwriting(folder: Path, *sources: Path | None) -> None:
    """Raise where a run would write over the weights it begins from."""
    written = {path.resolve() for path in folder.glob("*.safetensors")}
    for kept in sources:
        if kept is not None and Path(kept).resolve() in written:
            raise UsageError(f"the run would overwrite {kept}, which it begins from; use another --folder")


def refuse_folder(folder: Path, kept: Sequence[Path | None], *, resume: bool, overwrite: bool) -> None:
    """Refuse a folder that holds what the run begins from, or another run.

    Raises:
        UsageError: it holds what the run begins from. FileError: it holds another run, or none to resume.
    """
    checkpoint = folder / "checkpoint.pt"
    refuse_overwriting(folder, *kept)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} is a file; use another --folder")
    if resume and not checkpoint.is_file():
        raise FileError(f"nothing to resume: there is no {checkpoint}; leave out --resume")
    if not resume and not overwrite and checkpoint.exists():
        raise FileError(
            f"{folder} holds a run; go on with --resume, replace it with --overwrite, or use another --folder"
        )


def prepare_folder(
    folder: Path, profile: LatentProfile, listing: str, schedule: Schedule, seed: int, processes: int = 1
) -> list[JsonLog | TensorBoardLog]:
    """Write what a run depends on beside the weights that it will make; return what writes its log."""
    make_folder(folder)
    own = attrs.evolve(profile, weights=Weights("weights.safetensors"))
    write_atomically(folder / "profile.toml", own.to_toml())
    write_atomically(folder / "data.sha256", listing)
    record = {"schedule": attrs.asdict(schedule), "seed": seed, "processes": processes, **environment()}
    write_json(folder / "environment.json", record)
    logs = logs_in(folder)
    for log in logs:
        log.remark(f"a run of {profile.name} begins: {json.dumps(record)}")
    return logs


def carry_out(
    trainer: Trainer,
    profile: LatentProfile,
    listing: str,
    base: Path | None,
    other: tuple[LatentModel, LatentProfile] | None = None,
    *,
    resume: bool,
    record: Mapping[str, Any] | None = None,
    tabulate: bool = False,
) -> Run:
    """Resume where asked, write what the run depends on, train, and write the weights; see ``finish``.

    Of several processes the first writes.
    """
    processes = trainer.processes
    if resume:
        trainer.resume()
    assert trainer.folder is not None
    if processes.first:
        logs = prepare_folder(
            trainer.folder, profile, listing, trainer.schedule, trainer.seed, processes.count
        )
        trainer.callbacks = (*logs, *trainer.callbacks)
    trainer.run()
    return processes.first_says(
        lambda: finish(trainer, profile, listing, base, other, record=record, tabulate=tabulate)
    )


def finish(
    trainer: Trainer,
    profile: LatentProfile,
    listing: str,
    base: Path | None,
    other: tuple[LatentModel, LatentProfile] | None = None,
    *,
    record: Mapping[str, Any] | None = None,
    tabulate: bool = False,
) -> Run:
    """Write the weights of a run that ended.

    Args:
        base: weights of which only what differs is written.
        other: the model of a decoder that was trained with the codec, and its profile.
        record: more of what the weights say about themselves, such as those they began from.
        tabulate: the gains are no longer those of ``base``.
    """
    assert trainer.folder is not None
    assert trainer.undecayed is not None
    model, folder = trainer.model.cpu(), trainer.folder
    found = {
        "patches": trainer.patches,
        "minutes": round(trainer.minutes, 1),
        "schedule": attrs.asdict(trainer.schedule),
        "seed": trainer.seed,
        "pictures": listing.count("\n"),
        "data": hashlib.sha256(listing.encode()).hexdigest(),
        "device": str(trainer.hardware.device),
        "held_out": trainer.lines[-1].held_out if trainer.lines else None,
        **(record or {}),
    }
    paths = {name: folder / f"{name}.safetensors" for name in ("weights", "undecayed")}
    if tabulate:
        model.tabulate()
    fingerprint = save(model, profile, paths["weights"], found, base)
    last = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(trainer.undecayed.model)
    found_before = {**found, "patches": trainer.undecayed.patches, "held_out": None}
    if tabulate:
        model.tabulate()
    save(model, profile, paths["undecayed"], found_before, base)
    model.load_state_dict(last)
    write_atomically(folder / "summary.md", summary_of(trainer, profile.name, environment()))
    auxiliary = None
    if other is not None:
        auxiliary = folder / f"weights+{other[1].name}.safetensors"
        _save_decoder(*other, auxiliary, found, paths["weights"])
    return Run(
        folder,
        paths["weights"],
        fingerprint,
        paths["undecayed"],
        auxiliary,
        trainer.patches,
        trainer.minutes,
        tuple(trainer.lines),
    )


def _save_decoder(
    other: LatentModel, profile: LatentProfile, path: Path, record: dict[str, Any], base: Path
) -> None:
    """Write a decoder that was trained with the codec, beside the new base weights."""
    decoding = other.cpu().transform.decoder_keys()
    state = {k: v.clone() for k, v in other.transform.state_dict().items() if k in decoding}
    weights.load_shared(base, other)
    other.transform.load_state_dict(state, strict=False)
    save(other, profile, path, record, base)
