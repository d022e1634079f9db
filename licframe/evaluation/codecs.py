"""Codecs under test: what can be named on the command line, each an ``ImageCodec``."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from licframe.codec.interface import ImageCodec
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load
from licframe.errors import ProfileError, UsageError, suggestion
from licframe.profile.profile import Encoder, load_profile, shipped_profiles
from licframe.registry.discovery import load_class, registry


@attrs.frozen(eq=False)
class CodecUnderTest:
    """A codec, as results name it.

    Attributes:
        kind: "profile", or "baseline" for what has none.
        codec: it itself; its weights are loaded.
    """

    name: str
    kind: str
    codec: ImageCodec

    @property
    def complexity(self) -> dict[str, Any]:
        """What it costs (``evaluation.complexity``); empty for other codecs than the latent one."""
        from licframe.evaluation.complexity import complexity

        if not isinstance(self.codec, LatentCodec):
            return {}
        return complexity(self.codec.model, self.codec.picture_filter)


@functools.lru_cache(maxsize=2)
def codec_named(name: str, overrides: tuple[str, ...] = (), device: str = "cpu") -> CodecUnderTest:
    """Return the codec of a name: a shipped profile, a profile file, a codec of a plugin or a command file.

    Args:
        name: ``balanced``, ``mine.toml``, ``jpeg``, or a TOML file with ``encode`` and ``decode``.
        overrides: ``table.key=value`` strings; device: see ``licframe.load``; profiles only.

    Raises:
        ProfileError: nothing has that name. PluginLoadError: what it needs is not installed.
    """
    others = registry().parts["codec"]
    path = Path(name)
    if name in shipped_profiles():
        return _of_profile(name, overrides, device)
    if path.suffix == ".toml" and path.is_file():
        try:
            commands = "encode" in tomllib.loads(path.read_text("utf-8"))
        except (ValueError, OSError) as error:
            raise ProfileError(f"{path} is not valid TOML: {error}") from error
        if not commands:
            return _of_profile(name, overrides, device)
        from licframe.evaluation.command import Command

        return CodecUnderTest(result_name(name), "baseline", Command.read(path))
    part = registry().named("codec", name)
    if part is not None:
        return CodecUnderTest(name, "baseline", load_class(part)(part.options()))
    raise ProfileError(
        f'no codec "{name}": it is neither a profile, a TOML file nor a codec of a plugin; '
        f"{suggestion(name, [*shipped_profiles(), *others])}"
    )


def _of_profile(name: str, overrides: tuple[str, ...], device: str) -> CodecUnderTest:
    # A picture without loss has no place on a curve: its PSNR is infinite
    profile = attrs.evolve(load_profile(name, overrides), encoder=Encoder(lossless_fallback=False))
    return CodecUnderTest(result_name(name), "profile", load(profile, device=device))


def result_name(name: str) -> str:
    """Return what results call a codec: its name, that of its file, or of the folder of a run's ``profile.toml``."""
    path = Path(name)
    return path.resolve().parent.name if path.name == "profile.toml" else path.stem


def check_names(names: Sequence[str]) -> None:
    """Refuse a list of codecs that holds one twice, or two that results would call the same.

    Raises:
        UsageError: naming them.
    """
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is named {names.count(name)} times; name each codec once")
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(result_name(name), name)
        if other != name:
            raise UsageError(
                f"{other} and {name} would both be called {result_name(name)} in results; rename a file, or the folder "
                "of a run"
            )
