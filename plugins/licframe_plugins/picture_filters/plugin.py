"""Registers the picture filters."""

from __future__ import annotations

import attrs

import licframe


@attrs.frozen
class Options:
    """Nothing to choose."""


@licframe.hookimpl
def licframe_picture_filters() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="none",
            version=1,
            summary="no filter",
            options=Options,
            target="licframe_plugins.picture_filters.none:NoFilter",
        ),
        licframe.Part(
            name="wiener",
            version=1,
            summary="a Wiener filter fitted to each picture, sent where it is worth its bytes",
            options=Options,
            target="licframe_plugins.picture_filters.wiener:WienerFilter",
        ),
    ]
