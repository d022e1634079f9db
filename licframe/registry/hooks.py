"""Hook specifications: how a plugin says which parts it provides.

A plugin is an importable object with functions marked ``@licframe.hookimpl``, named in the entry
point group ``licframe`` of its distribution. A hook returns descriptions only; the class behind
one is imported when a profile asks for it, so listing plugins stays fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pluggy

hookspec = pluggy.HookspecMarker("licframe")
hookimpl = pluggy.HookimplMarker("licframe")


_LATER = "licframe.option_since"


def option_since(**field: Any) -> Any:
    """Return an ``attrs.field`` for an option that a part gains after weights of it exist.

    While it has its default it is no part of what weights are checked against, so those stay usable.
    """
    return attrs.field(metadata={_LATER: True}, **field)


def identity(options: Any) -> dict[str, Any]:
    """Return the options by name that weights belong to, without those of ``option_since`` at their default."""
    return {
        field.name: getattr(options, field.name)
        for field in attrs.fields(type(options))
        if _LATER not in field.metadata or getattr(options, field.name) != field.default
    }


@attrs.frozen
class Part:
    """One part that a plugin provides.

    Attributes:
        name: what a profile writes after ``plugin =``; lower case, digits and hyphens.
        version: integer, raised whenever old files or weights of the part stop working.
        summary: one line for ``licframe plugins``.
        options: attrs class of the part's own checked options; must not import torch.
        target: "module:Class", imported on first use.
        aliases: names that it had before, the first one first; profiles and files that use them work on.
        lossless: of a codec of .lic files: it keeps every sample. Lossy codecs fall back to the first such by name.
    """

    name: str
    version: int
    summary: str
    options: type
    target: str
    aliases: tuple[str, ...] = ()
    lossless: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *self.aliases)

    @property
    def recorded(self) -> str:
        """The name in the structure of weights: the first it ever had, so that a new one changes no fingerprint."""
        return (*self.aliases, self.name)[0]


@hookspec
def licframe_transforms() -> Sequence[Part]:
    """Return the transforms this plugin provides; classes are built as ``Class(options)``."""
    return []


@hookspec
def licframe_context_schedulers() -> Sequence[Part]:
    """Return the context schedulers; built as ``Class(options, latent_channels, entropy_models)``."""
    return []


@hookspec
def licframe_entropy_models() -> Sequence[Part]:
    """Return the entropy models; built as ``Class(options)``."""
    return []


@hookspec
def licframe_refiners() -> Sequence[Part]:
    """Return the refiners; built as ``Class(options)``."""
    return []


@hookspec
def licframe_picture_filters() -> Sequence[Part]:
    """Return the picture filters; built as ``Class(options)``, for reading with default options."""
    return []


@hookspec
def licframe_codecs() -> Sequence[Part]:
    """Return codecs of other kinds (``licframe.parts.ImageCodec``); built as ``Class(options)``."""
    return []
