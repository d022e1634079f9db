"""Whatever can be measured: profiles and baselines behind one small interface."""

from __future__ import annotations

import functools
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import licframe
from licframe.errors import ProfileError, UsageError, suggestion
from licframe.evaluation.baseline import Baseline
from licframe.model.target import Target
from licframe.picture.images import Picture
from licframe.profile import Encoding, Profile, load_profile, shipped_profiles
from licframe.registry import load_class, registry

QUALITIES = (0, 14, 29, 43, 57, 71, 86, 100)
"""Qualities at which profiles are measured: those of the knots of the gains."""


class Contestant(Protocol):
    """A codec under test."""

    name: str
    kind: str
    version: str
    qualities: Sequence[float]
    complexity: dict[str, Any]

    def encode(self, picture: Picture, quality: float) -> tuple[bytes, float]:
        """Return the file and the seconds it took."""

    def decode(self, data: bytes) -> tuple[NDArray[np.uint8], float]:
        """Return the pixels and the seconds it took, model load not counted."""


class _Profile:
    """A profile with its weights loaded."""

    kind = "profile"
    qualities: Sequence[float] = QUALITIES

    def __init__(self, profile: Profile) -> None:
        from licframe import weights
        from licframe.evaluation.complexity import complexity
        from licframe.loading import load

        self.codec = load(profile)
        self.name = profile.name
        self.version = f"licframe {licframe.__version__}, weights {self.codec.fingerprint[:6].hex()}"
        if profile.weights_path is not None:
            # Files carry the fingerprint of what codes; another synthesis shows other pictures.
            found = weights.find(profile.weights_path, profile.structure())
            synthesis = (found.decoder or found).record
            if "codes_as" in synthesis:
                self.version += f", synthesis {synthesis['fingerprint'][:12]}"
        if profile.encoder != Encoding():
            self.version += f", encoder {profile.encoder}"
        if profile.refiner.part.name != "none":
            self.version += f", refiner {profile.refiner.part.name} {profile.refiner.options}"
        self.complexity = complexity(self.codec)

    def encode(self, picture: Picture, quality: float) -> tuple[bytes, float]:
        encoded = self.codec.encode(picture, Target(quality=int(quality)))
        return encoded.data, sum(encoded.seconds.values())

    def decode(self, data: bytes) -> tuple[NDArray[np.uint8], float]:
        decoded = self.codec.decode(data)
        return decoded.picture.pixels, sum(decoded.seconds.values())


class _Baseline:
    """A baseline from a plugin or from a command file."""

    kind = "baseline"

    def __init__(self, name: str, baseline: Baseline) -> None:
        self.name, self._baseline = name, baseline
        self.version, self.qualities = baseline.version, baseline.qualities
        self.complexity: dict[str, Any] = {}

    def encode(self, picture: Picture, quality: float) -> tuple[bytes, float]:
        begin = time.perf_counter()
        data = self._baseline.encode(picture.pixels, quality)
        return data, time.perf_counter() - begin

    def decode(self, data: bytes) -> tuple[NDArray[np.uint8], float]:
        begin = time.perf_counter()
        pixels = self._baseline.decode(data)
        return pixels, time.perf_counter() - begin


@functools.lru_cache(maxsize=2)
def contestant(name: str, overrides: tuple[str, ...] = ()) -> Contestant:
    """Return the contestant of a name: a shipped profile, a profile file, a baseline or a command file.

    Args:
        name: ``balanced``, ``mine.toml``, ``jpeg``, or a TOML file with ``encode`` and ``decode``.
        overrides: ``table.key=value`` strings; profiles only.

    Raises:
        ProfileError: nothing has that name. PluginLoadError: what it needs is not installed.
    """
    baselines = registry().parts["baseline"]
    path = Path(name)
    if name in shipped_profiles():
        return _Profile(load_profile(name, overrides))
    if path.suffix == ".toml" and path.is_file():
        try:
            commands = "encode" in tomllib.loads(path.read_text("utf-8"))
        except (ValueError, OSError) as error:
            raise ProfileError(f"{path} is not valid TOML: {error}") from error
        if not commands:
            return _Profile(load_profile(path, overrides))
        from licframe.evaluation.command import Command

        return _Baseline(path.stem, Command.read(path))
    if name in baselines:
        part = baselines[name].part
        return _Baseline(name, load_class(part)(part.options()))
    raise ProfileError(
        f'no codec "{name}": it is neither a profile, a TOML file nor a baseline; '
        f"{suggestion(name, [*shipped_profiles(), *baselines])}"
    )


def check_names(names: Sequence[str]) -> None:
    """Refuse a list of codecs that holds one twice.

    Raises:
        UsageError: naming it.
    """
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is named {names.count(name)} times; name each codec once")
