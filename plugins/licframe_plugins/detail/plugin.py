"""Registers the parts of detail layers."""

from __future__ import annotations

import attrs
from attrs.validators import and_, deep_iterable, ge, instance_of, le

import licframe


@attrs.frozen
class BlockTransformOptions:
    """The block transform has nothing to choose."""


@attrs.frozen
class BlockContextOptions:
    """Sizes of the context of blocks.

    Attributes:
        base: channels of the base's latent, at 1/16 of the resolution; 0 looks at none.
        groups: channels at which a new group of coefficients begins, ascending.
        width: features of the base at 1/8; hidden: channels of the hidden layers.
    """

    base: int = attrs.field(default=256, validator=[ge(0), le(768)])
    groups: tuple[int, ...] = attrs.field(
        default=(24, 72), validator=deep_iterable(member_validator=and_(instance_of(int), ge(1), le(191)))
    )
    width: int = attrs.field(default=64, validator=[ge(1), le(1024)])
    hidden: int = attrs.field(default=128, validator=[ge(1), le(1024)])

    @groups.validator
    def _ascending(self, _: object, value: tuple[int, ...]) -> None:
        if list(value) != sorted(set(value)):
            raise ValueError(f"groups are {list(value)}; give channels in ascending order")


@attrs.frozen
class SparseOptions:
    """The density of sparse coefficients has nothing to choose."""


@licframe.hookimpl
def licframe_transforms() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="block-dct",
            version=1,
            summary="8x8 cosine transform of three orthonormal colour planes",
            options=BlockTransformOptions,
            target="licframe_plugins.detail.transform:BlockTransform",
        )
    ]


@licframe.hookimpl
def licframe_context_schedulers() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="blocks",
            version=1,
            summary="magnitudes of neighbouring blocks and of a base latent, in four phases of a few groups",
            options=BlockContextOptions,
            target="licframe_plugins.detail.context:BlockContext",
        )
    ]


@licframe.hookimpl
def licframe_entropy_models() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="sparse",
            version=1,
            summary="two Laplace densities about zero, one for outliers; tables down to nearly certain zeros",
            options=SparseOptions,
            target="licframe_plugins.detail.sparse:Sparse",
        )
    ]
