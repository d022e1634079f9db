"""What the package provides. Imported to list plugins, so it must not import torch."""

import attrs
from attrs.validators import ge, le

import licframe


@attrs.frozen
class DctOptions:
    """How the encoder rounds; a decoder need not know.

    Attributes:
        rounding: added before a coefficient is cut off to whole steps, 0.25 to 0.5; 0.5 gives the nearest, less gives
            smaller files.
    """

    rounding: float = attrs.field(default=0.4, validator=[ge(0.25), le(0.5)])


@licframe.hookimpl
def licframe_codecs() -> list[licframe.Part]:
    return [
        licframe.Part("dct", 1, "8x8 cosine transforms, no weights", DctOptions, "licframe_dct.codec:Dct")
    ]
