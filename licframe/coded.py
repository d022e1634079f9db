"""What coding gives: records that a codec returns."""

from __future__ import annotations

import attrs
from torch import Tensor

from licframe.picture.images import Picture
from licframe.wiener import Coefficients


@attrs.frozen
class Estimate:
    """What a forward pass in floating point gives, differentiable.

    Attributes:
        image: reconstruction ``(N, 3, H, W)``, not clamped.
        bits: information of the latent of each image, ``(N,)``.
        latent: the latent before gains, ``(N, C, h, w)``.
        decoded: the same as the synthesis is given it.
    """

    image: Tensor
    bits: Tensor
    latent: Tensor
    decoded: Tensor


@attrs.frozen
class Encoded:
    """A compressed picture.

    Attributes:
        data: the .lic file.
        quality: 0..100.
        information: bits of the latent under the frozen tables.
        seconds: time of each stage.
    """

    data: bytes
    quality: int
    information: float
    seconds: dict[str, float]


@attrs.frozen
class Decoded:
    """A decompressed picture.

    Attributes:
        picture: the picture.
        seconds: time of each stage.
        damage: what a damaged file no longer holds, a sentence each; empty unless asked for best effort.
    """

    picture: Picture
    seconds: dict[str, float]
    damage: tuple[str, ...] = ()


@attrs.frozen(eq=False)
class Coded:
    """A coded latent: integers, bytes, digest of the symbols, information in bits, channels without any; the filter."""

    quality: int
    y: Tensor
    payload: bytes
    digest: int
    information: float
    empty: int
    filter: Coefficients | None = None
