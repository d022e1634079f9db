"""A picture filter of six bytes: gain and offset of each colour, fitted by least squares."""

import struct

import torch
from torch import Tensor

from licframe.parts import CorruptStreamError, PictureFilter

from .plugin import LevelsOptions

_FORMAT = struct.Struct("6b")
"""Three gains, which count 1/512 above or below one, and three offsets, which count 1/1024."""
_UNITS = torch.tensor([[512.0], [1024.0]])


class Levels(PictureFilter):
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
