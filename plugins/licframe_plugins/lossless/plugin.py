"""Registers the lossless codec."""

from __future__ import annotations

import attrs

import licframe


@attrs.frozen
class Options:
    """Nothing to choose."""


@licframe.hookimpl
def licframe_codecs() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="lossless",
            version=1,
            summary="every sample that is seen, as it is: PNG or WebP, whichever is smaller; no weights",
            options=Options,
            target="licframe_plugins.lossless.codec:Lossless",
            lossless=True,
        )
    ]
