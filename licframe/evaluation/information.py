"""Information of a latent: under the float model, to compare with what the frozen tables cost, and where a file has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from licframe.bitstream.container import File
from licframe.codec.detail import base_context
from licframe.codec.latent import LatentCodec
from licframe.exact.layers import FRACTION
from licframe.exact.units import row_of
from licframe.model import latent_coding
from licframe.model.interfaces import Step
from licframe.model.latent_model import LatentModel
from licframe.model.tiled_coding import Tiles
from licframe.runtime.clock import Clock


@torch.no_grad()
def float_information(model: LatentModel, latent: Tensor, quality: int) -> float:
    """Return the bits of a latent ``(1, C, h, w)`` rounded around float centres, without noise."""
    gain, at = model.gain_table[row_of(quality)][None], torch.full((1,), float(quality))
    return float(model.estimate_latent(latent, gain, at, noisy=False)[0])


@torch.inference_mode()
def bits_per_block(codec: LatentCodec, file: File) -> NDArray[np.float64]:
    """Return the bits of a sound file's symbols at each element of its latent, ``(h, w)``: at a block of pixels.

    They are those of the entropy model; what the tables and the coder round is left out. Side information and details count
    where they lie.
    """
    header, model, layer = file.header, codec.model, codec.detail
    tiles = Tiles(header.height, header.width, file.tile)
    bits = np.zeros(tiles.shape(model.transform.stride))
    for number, place in enumerate(tiles.places(model.transform.stride)):
        rows, columns = (part.stop - part.start for part in place)
        found, y = _decoded(
            model, file.payloads[number], header.latent_quality, (rows, columns), flags=header.revision >= 2
        )
        bits[place] += _spread(found, rows, columns)
        detail = file.details[number] if file.details else None
        if detail is not None and layer is not None:
            box = tiles.places(layer.model.transform.stride)[number]
            shape = box[0].stop - box[0].start, box[1].stop - box[1].start
            stream = detail.payload, detail.digest
            given = base_context(model, y, header.latent_quality)
            found, _ = _decoded(layer.model, stream, detail.quality, shape, given=given)
            bits[place] += _spread(found, rows, columns)
    return bits


def _decoded(
    model: LatentModel,
    stream: tuple[bytes, int],
    quality: int,
    shape: Sequence[int],
    *,
    flags: bool = True,
    given: Mapping[str, Tensor] | None = None,
) -> tuple[list[NDArray[np.float64]], Tensor]:
    """Return the bits of each position of each tensor that a stream holds, and the decoded latent."""
    sides = {name: size[1:] for name, size in model.scheduler.side_shapes(*shape).items()}
    found = {name: torch.zeros(*size) for name, size in {"y": shape, **sides}.items()}

    def add(step: Step, parameters: Tensor, residual: Tensor, live: NDArray[np.bool_]) -> None:
        values = parameters.float() * 2.0**-FRACTION
        bits = model.coding_model(step).bits(residual.float(), values)
        if step.tensor == "y":
            bits = bits * torch.from_numpy(live[step.channels])[:, None, None]
        rows, columns = (p.cpu() if isinstance(p, Tensor) else p for p in (step.rows, step.columns))
        found[step.tensor][rows, columns] += bits.sum((0, 1))

    y = latent_coding.decode(model, *stream, quality, shape, Clock(), flags=flags, given=given, watch=add)
    return [bits.double().numpy() for bits in found.values()], y


def _spread(planes: Sequence[NDArray[np.float64]], rows: int, columns: int) -> NDArray[np.float64]:
    """Return the sum of planes of bits on a grid of so many rows and columns: their elements are shared out, or put together."""
    return np.sum([_along(_along(bits, rows).T, columns).T for bits in planes], axis=0)


def _along(bits: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return rows of bits as ``length`` rows of the same sum, each with what lies in its part of the height."""
    ends = np.concatenate([np.zeros((1, bits.shape[1])), bits.cumsum(0)])
    at = np.linspace(0, len(bits), length + 1)
    columns = [np.interp(at, np.arange(len(ends)), column) for column in ends.T]
    return np.diff(np.stack(columns, 1), axis=0)
