"""A picture filter: a few bytes that mend the decoded picture.

What a picture filter must have:

1. ``fit``, which an encoder runs: the decoded picture and the original to bytes, or None where they are not worth sending.
   A squared error of one is worth ``weight`` bits.
2. ``apply``, which a decoder runs: the decoded picture and the bytes to a better picture, of the same size, and
   differentiable. What is no filter raises ``CorruptStreamError``.

A decoder builds the filter with default options: the bytes hold all that ``apply`` needs. It needs no weights, and works at
once on those of any profile.

Here a gain and an offset of each colour are fitted by least squares, in six bytes. Where to go on: more terms, such as
the mean of the neighbours; each has to save more than it costs.
"""

import struct

import torch
from torch import Tensor

from licframe.parts import CorruptStreamError, PictureFilter

from .plugin import LevelsOptions

_FORMAT = struct.Struct("6b")
"""Three gains, which count 1/512 above or below one, and three offsets, which count 1/1024."""
_UNITS = torch.tensor([[512.0], [1024.0]])


class Levels(PictureFilter):
    """Gain and offset of each colour."""

    def __init__(self, options: LevelsOptions) -> None:
        self.options = options

    def fit(self, decoded: Tensor, image: Tensor, weight: float) -> bytes | None:
        x, error = (t[0].flatten(1).double() for t in (decoded, image - decoded))
        mean, centred = x.mean(1), x - x.mean(1, keepdim=True)
        gain = (centred * error).sum(1) / centred.square().sum(1).clamp_min(1e-9)
        if not self.options.gain:
            gain = torch.zeros_like(gain)
        terms = torch.stack([gain, error.mean(1) - gain * mean]).cpu()
        data = _FORMAT.pack(*(terms * _UNITS).round().clamp(-128, 127).flatten().int().tolist())
        saved = (decoded - image).square().sum() - (self.apply(decoded, data) - image).square().sum()
        return data if weight * float(saved) > 8 * len(data) else None

    def apply(self, decoded: Tensor, data: bytes) -> Tensor:
        if len(data) != _FORMAT.size:
            raise CorruptStreamError(
                f"the filter holds {len(data)} bytes, not {_FORMAT.size}; it is damaged"
            )
        terms = torch.tensor(_FORMAT.unpack(data), dtype=decoded.dtype, device=decoded.device).view(2, 3)
        gain, offset = (terms / _UNITS.to(decoded))[..., None, None]
        return decoded + gain * decoded + offset
