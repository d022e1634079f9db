"""Finds the parts that installed plugins provide, and builds them by name.

Every plugin, built-in or not, is found through an entry point in the group ``licframe``. Plugins
are loaded one by one: one that fails is recorded with its distribution and its error, and raises
only when a profile asks for a part that nobody else provides.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import entrypoints
import pluggy

from licframe.errors import PluginLoadError, UnknownPluginError, suggestion
from licframe.registry import hooks
from licframe.registry.hooks import Part

KINDS = MappingProxyType(
    {
        "transform": "licframe_transforms",
        "context_scheduler": "licframe_context_schedulers",
        "entropy_model": "licframe_entropy_models",
        "refiner": "licframe_refiners",
        "picture_filter": "licframe_picture_filters",
        "codec": "licframe_codecs",
    }
)
"""Kinds of parts, each a table of a profile, and the hook that lists each."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@attrs.frozen
class Failure:
    """A plugin that could not be loaded."""

    plugin: str
    distribution: str
    error: str


@attrs.frozen
class Registered:
    """A part and who provides it."""

    part: Part
    plugin: str
    distribution: str


@attrs.frozen
class Registry:
    """All parts by kind and name, and the plugins that failed."""

    parts: Mapping[str, Mapping[str, Registered]]
    failures: Sequence[Failure]

    def named(self, kind: str, name: str) -> Part | None:
        """Return the part of that kind and name, or that had the name before; None if there is none."""
        for registered in self.parts[kind].values():
            if name in registered.part.names:
                return registered.part
        return None

    def find(self, kind: str, name: str, where: str = "") -> Part:
        """Return the part of that kind and name, as ``named``.

        Raises:
            UnknownPluginError: with the known names, a guess, and the plugins that failed to load.
        """
        part, known = self.named(kind, name), self.parts[kind]
        if part is not None:
            return part
        failed = "; ".join(f"{f.plugin} of {f.distribution} ({f.error})" for f in self.failures)
        raise UnknownPluginError(
            f'unknown {kind} "{name}"{where}; {suggestion(name, known)}; '
            f"plugins that failed to load: {failed or 'none'}"
        )


def find_labelled(kind: str, label: str) -> Part | None:
    """Return the installed part of a label, "name version", as files record it; None if there is none."""
    name, _, version = label.rpartition(" ")
    part = registry().named(kind, name)
    return part if part is not None and str(part.version) == version else None


def load_class(part: Part) -> Any:
    """Import the class of a part.

    Raises:
        PluginLoadError: its module cannot be imported or lacks the class.
    """
    module, _, name = part.target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:
        raise PluginLoadError(
            f'part "{part.name}" cannot be loaded from {part.target}: {type(error).__name__}: {error}; '
            "reinstall or update the package that provides it"
        ) from error


@functools.cache
def registry() -> Registry:
    """Return the parts of all installed plugins; loaded once a process."""
    return discover(entrypoints.get_group_all("licframe"))


def discover(entry_points: Sequence[entrypoints.EntryPoint]) -> Registry:
    """Load plugins one by one and collect their parts."""
    parts: dict[str, dict[str, Registered]] = {kind: {} for kind in KINDS}
    failures = []
    for entry in sorted(entry_points, key=lambda e: (e.name, str(e.distro))):
        distribution = f"{entry.distro.name} {entry.distro.version}" if entry.distro else "unknown"
        try:
            found = _load(entry)
            for kind, part in found:
                for other in [o for o in parts[kind].values() if {*o.part.names} & {*part.names}]:
                    if (other.plugin, other.part) == (entry.name, part):
                        continue  # the same distribution is on the path twice
                    raise PluginLoadError(
                        f'{kind} "{other.part.name}" is already provided by {other.plugin} of '
                        f"{other.distribution}; uninstall one of them"
                    )
            for kind, part in found:
                parts[kind][part.name] = Registered(part, entry.name, distribution)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises
            failures.append(Failure(entry.name, distribution, f"{type(error).__name__}: {error}"))
    return Registry(parts, failures)


def _load(entry: entrypoints.EntryPoint) -> list[tuple[str, Part]]:
    """Return what one plugin provides, checked, as (kind, part)."""
    # A manager of its own for each plugin: a hook that raises then harms nobody else.
    manager = pluggy.PluginManager("licframe")
    manager.add_hookspecs(hooks)
    manager.register(entry.load(), entry.name)
    manager.check_pending()
    found = []
    for kind, hook in KINDS.items():
        for part in [p for group in getattr(manager.hook, hook)() for p in group]:
            if not isinstance(part, Part) or not all(_NAME.fullmatch(name) for name in part.names):
                raise PluginLoadError(
                    f"{hook} returned {part!r}; expected licframe.Part objects whose name is lower "
                    "case letters, digits and hyphens, at most 32"
                )
            found.append((kind, part))
    return found
