"""Registers the residual transform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from attrs.validators import and_, deep_iterable, ge, instance_of, le, max_len, min_len

import licframe

_counts = deep_iterable(member_validator=and_(instance_of(int), ge(0)))
three: Callable[[Any, Any, tuple[int, ...]], Any] = and_(min_len(3), max_len(3), _counts)
"""Checks that an option is three numbers, none negative."""


@attrs.frozen
class Options:
    """Sizes of the residual transform.

    Attributes:
        channels: channels of the latent, at 1/16 of the resolution.
        merged: channels at 1/8; 192 keeps everything that the 8x8 blocks hold.
        widths: channels inside the residual blocks at 1/4, 1/8 and 1/16; 0 leaves a block out. Six numbers give the
            encoder's and then the decoder's.
        analysis: inner layers of the blocks at 1/4, 1/8 and 1/16, encoder side.
        synthesis: the same, decoder side.
        conditioned, conditioned_analysis: whether the decoder's and the encoder's blocks know the quality.
    """

    channels: int = attrs.field(default=256, validator=[ge(1), le(768)])
    merged: int = attrs.field(default=192, validator=[ge(1), le(192)])
    widths: tuple[int, ...] = attrs.field(default=(48, 96, 128), validator=_counts)
    analysis: tuple[int, ...] = attrs.field(default=(0, 2, 2), validator=three)
    synthesis: tuple[int, ...] = attrs.field(default=(1, 2, 2), validator=three)
    conditioned: bool = licframe.option_since(default=False, validator=instance_of(bool))
    conditioned_analysis: bool = licframe.option_since(default=False, validator=instance_of(bool))

    @widths.validator
    def _three_or_six(self, _: object, value: tuple[int, ...]) -> None:
        if len(value) not in (3, 6):
            raise ValueError(f"widths has {len(value)} numbers; give three for both sides, or six")


@licframe.hookimpl
def licframe_transforms() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="residual",
            version=1,
            summary="linear merges 4-8-16 with residual blocks between them",
            options=Options,
            target="licframe_plugins.residual.transform:ResidualTransform",
        )
    ]
