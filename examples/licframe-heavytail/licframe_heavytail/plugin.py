"""What the package provides. Imported to list plugins, so it must not import torch."""

import attrs
from attrs.validators import ge, le

import licframe


@attrs.frozen
class HeavyTailOptions:
    """The tail.

    Attributes:
        share: weight of the wide density, 0 to 0.5.
    """

    share: float = attrs.field(default=0.02, validator=[ge(0.0), le(0.5)])


@attrs.frozen
class FlatOptions:
    """Nothing to choose."""


@attrs.frozen
class LevelsOptions:
    """What is fitted; a decoder need not know.

    Attributes:
        gain: a gain and an offset, or else the offset alone.
    """

    gain: bool = True


@licframe.hookimpl
def licframe_entropy_models() -> list[licframe.Part]:
    return [
        licframe.Part(
            "heavy-tail",
            1,
            "a Gaussian with a wide tail",
            HeavyTailOptions,
            "licframe_heavytail.model:HeavyTail",
        )
    ]


@licframe.hookimpl
def licframe_context_schedulers() -> list[licframe.Part]:
    return [
        licframe.Part(
            "flat",
            1,
            "every element from its channel's own statistics",
            FlatOptions,
            "licframe_heavytail.flat:Flat",
        )
    ]


@licframe.hookimpl
def licframe_picture_filters() -> list[licframe.Part]:
    return [
        licframe.Part(
            "levels",
            1,
            "gain and offset of each colour, six bytes",
            LevelsOptions,
            "licframe_heavytail.levels:Levels",
        )
    ]
