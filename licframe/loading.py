"""From a profile, or from the header of a file, to a codec that is ready to code."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from licframe import weights
from licframe.bitstream import container
from licframe.codec import Codec
from licframe.errors import ProfileError, WeightsMismatchError
from licframe.interfaces import EntropyModel
from licframe.picture.images import Picture
from licframe.profile import Profile, load_profile, shipped_profiles
from licframe.registry import load_class, registry


def build(profile: Profile) -> Codec:
    """Build an untrained codec.

    Raises:
        ProfileError: parts that do not fit together; PluginLoadError: a part cannot be imported.
    """
    transform = load_class(profile.transform.part)(profile.transform.options)
    scheduler_class = load_class(profile.context_scheduler.part)
    choices = profile.entropy_models
    if len(choices) == 1:  # one serves every pass
        choices = choices * scheduler_class.passes
    models = [load_class(c.part)(c.options) for c in choices]
    if scheduler_class.passes != len(models):
        raise ProfileError(
            f"{profile.source}: context_scheduler {profile.context_scheduler.part.name} codes in "
            f"{scheduler_class.passes} pass(es), each with its own entropy model; the profile names "
            f"{len(models)}; write [[entropy_model]] once for each, or [entropy_model] for all"
        )
    scheduler = scheduler_class(profile.context_scheduler.options, transform.latent_channels, models)
    refiner = load_class(profile.refiner.part)(profile.refiner.options)
    return Codec(profile, transform, scheduler, models, refiner)


def entropy_models(structure: Mapping[str, Any]) -> list[EntropyModel]:
    """Return the entropy models of a structure, untrained: one, or one for each pass."""
    found = []
    for record in structure["parts"]:
        if record["kind"] == "entropy_model":
            part = registry().find("entropy_model", record["plugin"])
            options = {k: v for k, v in record.items() if k not in ("kind", "plugin", "version")}
            found.append(load_class(part)(part.options(**options)))
    return found


def load(profile: str | os.PathLike[str] | Profile = "balanced", overrides: Sequence[str] = ()) -> Codec:
    """Return a codec that is ready to code.

    Args:
        profile: name of a shipped profile, path of a TOML file, or a loaded profile.
        overrides: ``table.key=value`` strings.

    Raises:
        ProfileError, PluginLoadError, WeightsMismatchError, NotExactError.
    """
    profile = _loaded(profile, overrides)
    path = profile.weights_path
    if path is None:
        raise WeightsMismatchError(
            f"profile {profile.source} names no weights; train some with licframe train {profile.source}"
        )
    with torch.random.fork_rng(devices=[]):  # untrained weights are drawn at random, and replaced
        codec = build(profile)
    codec.fingerprint = bytes.fromhex(weights.load(path, codec, profile.structure()))
    codec.transform.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # ready to code: no gradients for the weights, however many threads use them
    return codec.freeze().requires_grad_(False)


def _loaded(profile: str | os.PathLike[str] | Profile, overrides: Sequence[str] = ()) -> Profile:
    return profile if isinstance(profile, Profile) else load_profile(os.fspath(profile), overrides)


def load_for(
    header: container.Header,
    profile: str | os.PathLike[str] | Profile | None = None,
    decoder: str | None = None,
) -> Codec:
    """Return the codec that decodes a file: of ``profile``, else of a shipped profile that fits.

    Args:
        decoder: name of a transform with another synthesis for the same files.

    Raises:
        WeightsMismatchError: no installed weights are those of the file, or no such decoder.
    """
    chosen = _profile_for(header) if profile is None else _loaded(profile)
    return load(chosen if decoder is None else _with_decoder(chosen, decoder))


def _with_decoder(profile: Profile, decoder: str) -> Profile:
    """Return a profile whose transform is replaced by one that decodes the same files."""
    path, known = profile.weights_path, []
    if path is not None:
        trunk = weights.find(path, profile.structure()).trunk
        for _, record in weights.neighbours(path.parent):
            if trunk not in (record.get("codes_as"), record["fingerprint"]):
                continue
            transform = next(p for p in record["structure"]["parts"] if p["kind"] == "transform")
            known.append(transform["plugin"])
            if transform["plugin"] == decoder:
                return profile.with_transform(
                    {k: v for k, v in transform.items() if k not in ("kind", "version")}
                )
    raise WeightsMismatchError(
        f'no decoder "{decoder}" for files of profile {profile.name}; there is '
        f"{', '.join(known) or 'none but its own'}; make one with licframe distill"
    )


def _profile_for(header: container.Header) -> Profile:
    """Return the shipped profile that has the weights of a file."""
    shipped = shipped_profiles()
    names = sorted(shipped, key=lambda name: name != header.profile)
    for name in names:
        candidate = load_profile(name)
        path = candidate.weights_path
        if path is None or not path.is_file():
            continue
        try:
            found = weights.find(path, candidate.structure())
        except WeightsMismatchError:
            continue
        if bytes.fromhex(found.fingerprint).startswith(header.fingerprint):
            return candidate
    raise WeightsMismatchError(
        f'the file was made with profile "{header.profile}" ({", ".join(header.parts)}) and weights '
        f"{header.fingerprint.hex()}, which are not installed; name the profile that has them with --profile"
    )


def decompress(
    data: bytes, profile: str | os.PathLike[str] | None = None, decoder: str | None = None
) -> Image.Image:
    """Decompress a .lic file with the installed profile it was made with (see ``load_for``).

    Raises:
        CorruptStreamError: damaged; WeightsMismatchError: its weights are not installed.
    """
    return read(data, profile, decoder).to_pil()


def read(data: bytes, profile: str | os.PathLike[str] | None = None, decoder: str | None = None) -> Picture:
    """Return the picture of a .lic file: samples with 8 or 16 bits, alpha, metadata (see ``decompress``)."""
    return load_for(container.read_header(data), profile, decoder).decode(data).picture
