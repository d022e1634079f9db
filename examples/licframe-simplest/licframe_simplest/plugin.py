"""What the package provides. Imported to list plugins, so it must not import torch."""

import attrs
from attrs.validators import ge, le

import licframe


@attrs.frozen
class BlocksOptions:
    """The size of the latent.

    Attributes:
        channels: of the latent, 1 to 768; more keep more of a picture.
    """

    channels: int = attrs.field(default=48, validator=[ge(1), le(768)])


@attrs.frozen
class ScalingOptions:
    """What is tried.

    Attributes:
        trials: how many factors below one.
    """

    trials: int = attrs.field(default=4, validator=[ge(0), le(100)])


@attrs.frozen
class DifferencesOptions:
    """How hard the encoder tries; a decoder need not know.

    Attributes:
        effort: of zlib, 1 (fast) to 9 (small).
    """

    effort: int = attrs.field(default=9, validator=[ge(1), le(9)])


@licframe.hookimpl
def licframe_transforms() -> list[licframe.Part]:
    return [
        licframe.Part(
            "block-basis",
            1,
            "a learned basis of 16x16 blocks",
            BlocksOptions,
            "licframe_simplest.blocks:Blocks",
        )
    ]


@licframe.hookimpl
def licframe_refiners() -> list[licframe.Part]:
    return [
        licframe.Part(
            "scaling",
            1,
            "the latent times a few factors",
            ScalingOptions,
            "licframe_simplest.scaling:Scaling",
        )
    ]


@licframe.hookimpl
def licframe_codecs() -> list[licframe.Part]:
    return [
        licframe.Part(
            "differences",
            1,
            "differences of neighbours and zlib, no weights",
            DifferencesOptions,
            "licframe_simplest.differences:Differences",
        )
    ]
