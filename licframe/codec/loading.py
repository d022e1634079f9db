"""From a profile, or from the header of a file, to a codec that is ready to code."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from PIL import Image

from licframe.bitstream import container
from licframe.codec.detail import DetailLayer
from licframe.codec.fallback import FallbackCodec
from licframe.codec.interface import ImageCodec
from licframe.codec.latent import LatentCodec
from licframe.errors import LicframeWarning, PluginLoadError, ProfileError, WeightsMismatchError
from licframe.exact.devices import device_named
from licframe.model.interfaces import EntropyModel, PictureFilter
from licframe.model.latent_model import LatentModel
from licframe.picture.images import Picture
from licframe.picture.region import Region
from licframe.profile import DEFAULT_PROFILE, weights
from licframe.profile.profile import (
    Choice,
    LatentProfile,
    Profile,
    latent_profile,
    load_profile,
    shipped_profiles,
)
from licframe.registry.discovery import find_labelled, load_class, registry
from licframe.runtime.atomic import bytes_of

Name = str | os.PathLike[str]
Source = str | os.PathLike[str] | bytes | IO[bytes]
"""A file: its path, its bytes, or a stream of them."""

_own_profiles: dict[tuple[bytes, str], Profile] = {}
"""Profiles of which this process loaded codecs, by the fingerprint that files carry, and name."""


def build(profile: LatentProfile) -> LatentModel:
    """Build an untrained model.

    Raises:
        ProfileError: parts that do not fit together; PluginLoadError: a part cannot be imported.
    """
    transform = _made(profile.transform)
    scheduler_class = load_class(profile.context_scheduler.part)
    choices = profile.entropy_models
    if len(choices) == 1:  # one serves every pass
        choices = choices * scheduler_class.passes
    models = [_made(choice) for choice in choices]
    if scheduler_class.passes != len(models):
        raise ProfileError(
            f"{profile.source}: context_scheduler {profile.context_scheduler.part.name} codes in "
            f"{scheduler_class.passes} pass(es), each with its own entropy model; the profile names "
            f"{len(models)}; write [[entropy_model]] once for each, or [entropy_model] for all"
        )
    scheduler = scheduler_class(profile.context_scheduler.options, transform.latent_channels, models)
    return LatentModel(transform, scheduler, models)


def build_filter(profile: LatentProfile) -> PictureFilter:
    """Build the picture filter of a profile.

    Raises:
        PluginLoadError: it cannot be imported.
    """
    made: PictureFilter = _made(profile.picture_filter)
    return made


def _made(choice: Choice) -> Any:
    return load_class(choice.part)(choice.options)


def codec_of(
    profile: LatentProfile,
    model: LatentModel,
    fingerprint: bytes = bytes(32),
    synthesis: str = "",
    detail: DetailLayer | None = None,
) -> LatentCodec:
    """Return the codec of a frozen model, with the refiner and the picture filter of a profile."""
    return LatentCodec(
        profile,
        model,
        _made(profile.refiner),
        build_filter(profile),
        find_filter,
        fingerprint,
        synthesis,
        detail,
    )


@functools.lru_cache(maxsize=64)  # labels come from files
def find_filter(label: str) -> PictureFilter | None:
    """Return the installed picture filter of a label, "name version", with default options; None if there is none."""
    part = find_labelled("picture_filter", label)
    return None if part is None else load_class(part)(part.options())


def save(
    model: LatentModel,
    profile: LatentProfile,
    path: Path,
    training: Mapping[str, Any],
    base: Path | None = None,
) -> str:
    """Write the weights of a model, or what differs from those in ``base``; return their fingerprint.

    Args:
        training: a record of how they were made.
        base: weights whose tables of the qualities are kept; without it they are made anew from the gains.
    """
    if base is None:
        model.tabulate()
    return weights.save(path, model, profile.structure(), training, base)


def entropy_models(structure: Mapping[str, Any]) -> list[EntropyModel]:
    """Return the entropy models of a structure, untrained: one, or one for each pass."""
    found = []
    for record in structure["parts"]:
        if record["kind"] == "entropy_model":
            part = registry().find("entropy_model", record["plugin"])
            options = {k: v for k, v in record.items() if k not in ("kind", "plugin", "version")}
            found.append(load_class(part)(part.options(**options)))
    return found


def load(
    profile: Name | Profile = DEFAULT_PROFILE, overrides: Sequence[str] = (), *, device: str = "cpu"
) -> ImageCodec:
    """Return a codec that is ready to code; a lossy one of .lic files with a lossless one to fall back to.

    Args:
        profile: name of a shipped profile, path of a TOML file, or a loaded profile.
        overrides: ``table.key=value`` strings.
        device: where its networks are computed: cpu, cuda, or auto, a GPU where one is there; files are the same.
            Codecs of other kinds than the latent one use the CPU.

    Raises:
        ProfileError, PluginLoadError, WeightsMismatchError, NotExactError.
    """
    profile = _loaded(profile, overrides)
    codec: ImageCodec
    if isinstance(profile, LatentProfile):
        codec = load_latent(profile, device=device)
    else:
        device_named(device)
        assert profile.codec is not None
        codec = _made(profile.codec)
    return _with_fallback(codec) if profile.encoder.lossless_fallback else codec


def _with_fallback(codec: ImageCodec) -> ImageCodec:
    """Return a codec that falls back to the lossless one that is installed; the codec itself where that cannot be."""
    if codec.capabilities.lossless or codec.suffix != ".lic":
        return codec
    for _, registered in sorted(registry().parts["codec"].items()):
        part = registered.part
        if part.lossless:
            try:
                return FallbackCodec(codec, load_class(part)(part.options()), f"{part.name} {part.version}")
            except PluginLoadError:  # ``licframe doctor`` says what it lacks
                continue
    return codec


def load_latent(
    profile: Name | Profile = DEFAULT_PROFILE, overrides: Sequence[str] = (), *, device: str = "cpu"
) -> LatentCodec:
    """Return a latent codec that is ready to code, without a fallback; see ``load``.

    Raises:
        ProfileError: also where the profile is of another codec.
    """
    profile, there = _loaded(profile, overrides), device_named(device)
    if not isinstance(profile, LatentProfile):
        raise ProfileError(
            f"{profile.source} is no profile of the latent codec; name one with a [transform]"
        )
    model, found = _frozen(profile, there)
    layer = None
    if profile.detail_path is not None:
        details, its = _frozen(latent_profile(profile.detail_path), there)
        layer = DetailLayer(details, bytes.fromhex(its.fingerprint))
    codec = codec_of(profile, model, bytes.fromhex(found.fingerprint), found.synthesis, layer)
    _own_profiles[codec.fingerprint, profile.name] = profile
    return codec


def _frozen(profile: LatentProfile, device: torch.device) -> tuple[LatentModel, weights.ResolvedWeights]:
    """Return the model of a profile, ready to code, and its weights."""
    path = profile.weights_path
    if path is None:
        raise WeightsMismatchError(
            f"profile {profile.source} names no weights; train some with licframe train {profile.source}"
        )
    with torch.random.fork_rng(devices=[]):  # untrained weights are drawn at random, and replaced
        model = build(profile)
    found = weights.load(path, model, profile.structure())
    model.transform.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # ready to code: no gradients for the weights, however many threads use them
    return model.freeze().requires_grad_(False).to(device), found


def _loaded(profile: Name | Profile, overrides: Sequence[str] = ()) -> Profile:
    return profile if isinstance(profile, Profile) else load_profile(os.fspath(profile), overrides)


def load_for(
    header: container.Header,
    profile: Name | Profile | None = None,
    decoder: str | None = None,
    *,
    device: str = "cpu",
) -> ImageCodec:
    """Return the codec that decodes a file: of ``profile``, else of a profile that fits.

    Those that come with licframe are looked at first, then those that this process has loaded before. Codecs are kept,
    a few at a time, for further files.

    Args:
        decoder: name of a transform with another synthesis for the same files; pictures without loss need none.
        device: see ``load``.

    Raises:
        WeightsMismatchError: no installed weights or codec are those of the file, or no such decoder.
    """
    if header.codec and decoder is not None and not keeps_all(header):
        raise WeightsMismatchError(
            f"files of codec {header.codec} have no other decoder; leave out {decoder}"
        )
    if header.codec and profile is None:
        return _codec_labelled(header.codec)
    chosen = _profile_for(header) if profile is None else _loaded(profile)
    return _kept(header.fingerprint, chosen, decoder, device)


def keeps_all(header: container.Header) -> bool:
    """Say whether a file is of an installed codec without loss."""
    part = find_labelled("codec", header.codec)
    return part is not None and part.lossless


@functools.lru_cache(maxsize=4)
def _kept(_: bytes, profile: Profile, decoder: str | None, device: str) -> ImageCodec:
    return load(profile if decoder is None else _with_decoder(profile, decoder), device=device)


@functools.lru_cache(maxsize=16)
def _codec_labelled(label: str) -> ImageCodec:
    part = find_labelled("codec", label)
    if part is None:
        raise WeightsMismatchError(
            f'the file was made by codec "{label}", which no installed plugin provides; install the package that does'
        )
    codec: ImageCodec = load_class(part)(part.options())
    return codec


def _with_decoder(profile: Profile, decoder: str) -> LatentProfile:
    """Return a profile whose transform is replaced by one that decodes the same files."""
    path, known = profile.weights_path, []
    if path is not None and isinstance(profile, LatentProfile):
        base = weights.find(path, profile.structure()).base
        for _, record in weights.neighbours(path.parent):
            if base not in (record.get("codes_as"), record["fingerprint"]):
                continue
            transform = next(p for p in record["structure"]["parts"] if p["kind"] == "transform")
            part = registry().named("transform", transform["plugin"])
            names = (transform["plugin"],) if part is None else part.names
            known.append(names[0])
            if decoder in names:
                return profile.with_transform(
                    {k: v for k, v in transform.items() if k not in ("kind", "version")}
                )
    raise WeightsMismatchError(
        f'no decoder "{decoder}" for files of profile {profile.name}; there is '
        f"{', '.join(known) or 'none but its own'}; make one with licframe distill"
    )


def _profile_for(header: container.Header) -> Profile:
    """Return the profile that has the weights of a file."""
    shipped = shipped_profiles()
    names = sorted(shipped, key=lambda name: name != header.profile)
    for name in names:
        candidate = load_profile(name)
        path = candidate.weights_path
        if path is None or not path.is_file() or not isinstance(candidate, LatentProfile):
            continue
        try:
            found = weights.find(path, candidate.structure())
        except WeightsMismatchError:
            continue
        if bytes.fromhex(found.fingerprint).startswith(header.fingerprint):
            return candidate
    own = [p for (known, _), p in _own_profiles.items() if known.startswith(header.fingerprint)]
    for profile in sorted(own, key=lambda p: p.name != header.profile):
        return profile
    raise WeightsMismatchError(
        f'the file was made with profile "{header.profile}" ({", ".join(header.parts)}) and weights '
        f"{header.fingerprint.hex()}, which are not installed; name the profile that has them with --profile"
    )


def decompress(
    source: Source,
    profile: Name | None = None,
    decoder: str | None = None,
    *,
    region: Region | None = None,
    preview: int | None = None,
) -> Image.Image:
    """Decompress a .lic file with the profile that it was made with (see ``load_for``).

    Args:
        source: a path, bytes, or a stream that is open for reading.
        region: a part of the picture: x, y, width and height; of a large one only what it depends on is decoded.
        preview: decode the coarser levels of a file that may be cut short, without so many of the finest (see
            ``ImageCodec.decode_preview``); a LicframeWarning says what is missing.

    Raises:
        FileError: it cannot be read; CorruptStreamError: damaged; WeightsMismatchError: its weights are not installed;
        UsageError: the region does not lie within the picture, or there is no preview of it.
    """
    return _read(source, profile, decoder, region, preview).to_pil()


def read(
    source: Source,
    profile: Name | None = None,
    decoder: str | None = None,
    *,
    region: Region | None = None,
    preview: int | None = None,
) -> Picture:
    """Return the picture of a .lic file: samples with 8 or 16 bits, alpha, metadata (see ``decompress``)."""
    return _read(source, profile, decoder, region, preview)


def _read(
    source: Source, profile: Name | None, decoder: str | None, region: Region | None, preview: int | None
) -> Picture:
    data = bytes_of(source)
    codec = load_for(container.read_header(data), profile, decoder)
    if preview is not None:
        decoded = codec.decode_preview(data, preview, region=region)
        for what in decoded.damage:
            warnings.warn(what, LicframeWarning, stacklevel=3)
        return decoded.picture
    return (codec.decode(data) if region is None else codec.decode_region(data, region)).picture
