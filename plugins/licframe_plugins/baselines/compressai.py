"""CompressAI's pre-trained models, where that package is installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import struct
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from licframe.parts import PixelCodec, PluginLoadError

from .plugin import Options

_STRIDE = 64
_HEADER = struct.Struct("<BHHHHI")


class CompressaiBaseline(PixelCodec):
    """One model optimised for MSE, at its trained qualities; downloads the weights as CompressAI does.

    A file is a header of 13 bytes (quality, sizes, length of the first string) and the two strings
    that CompressAI's coder makes.
    """

    suffix = ".bin"
    #: CompressAI's name of the model
    model: ClassVar[str]

    def __init__(self, options: Options) -> None:
        self.options = options
        try:
            self._zoo: Any = importlib.import_module("compressai.zoo")
        except ImportError as error:
            raise PluginLoadError(
                f"CompressAI's {self.model} needs another package: pip install compressai"
            ) from error
        self.version = f"compressai {importlib.metadata.version('compressai')}, mse"
        self._nets: dict[int, Any] = {}

    def _net(self, quality: int) -> Any:
        if quality not in self._nets:
            make = self._zoo.image_models[self.model]
            net = make(quality=quality, metric="mse", pretrained=True).eval()
            net.update()
            self._nets = {quality: net}  # one at a time: they are large
        return self._nets[quality]

    @torch.no_grad()
    def encode_pixels(self, pixels: NDArray[np.uint8], quality: float) -> bytes:
        image = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
        h, w = image.shape[-2:]
        padded = F.pad(image, (0, -w % _STRIDE, 0, -h % _STRIDE), mode="replicate")
        coded = self._net(int(quality)).compress(padded)
        y, z = (group[0] for group in coded["strings"])
        return _HEADER.pack(int(quality), w, h, *coded["shape"], len(y)) + y + z

    @torch.no_grad()
    def decode_pixels(self, data: bytes) -> NDArray[np.uint8]:
        quality, w, h, rows, columns, length = _HEADER.unpack_from(data)
        coded = data[_HEADER.size :]
        strings = [[coded[:length]], [coded[length:]]]
        decoded = self._net(quality).decompress(strings, (rows, columns))["x_hat"][0, :, :h, :w]
        return decoded.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()


class Hyperprior(CompressaiBaseline):
    """Scale hyperprior (arXiv 1802.01436)."""

    model, qualities = "bmshj2018-hyperprior", range(1, 9)


class Mbt2018(CompressaiBaseline):
    """Serial context and hyperprior (arXiv 1809.02736)."""

    model, qualities = "mbt2018", range(1, 9)


class Cheng2020(CompressaiBaseline):
    """Discretised Gaussian mixtures (arXiv 2001.01568)."""

    model, qualities = "cheng2020-anchor", range(1, 7)
