"""A latent to bytes and back, in integers: the same symbols on every machine.

Predictions are computed where the model is; the coder, its tables and what they are given are on the CPU. Each step takes
one transfer of its parameters and one of its values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from licframe.errors import CorruptStreamError
from licframe.exact.coder import Decoder, Encoder
from licframe.exact.layers import FRACTION
from licframe.exact.units import CENTRE_FRACTION, row_of
from licframe.model.interfaces import EntropyModel, Known, Step, SymbolCoder
from licframe.model.latent_model import LatentModel
from licframe.runtime.clock import Clock

Watch = Callable[[Step, Tensor, Tensor, NDArray[np.bool_]], None]
"""Is told of a step's parameters and residuals, and which channels of y are coded at all; it changes none of them."""


@attrs.frozen(eq=False)
class CodedLatent:
    """A coded latent.

    Attributes:
        quality: -28..100.
        y: the decoded latent ``(1, C, h, w)``, integers with CENTRE_FRACTION fractional bits in float64.
        payload: the range coder's bytes; digest: of the symbols.
        information: bits of the symbols under the frozen tables.
        empty: how many channels hold no symbol but zero, and are left out.
    """

    quality: int
    y: Tensor
    payload: bytes
    digest: int
    information: float
    empty: int


def encode(
    model: LatentModel,
    latent: Tensor,
    quality: int,
    clock: Clock,
    *,
    sparse: bool = True,
    given: Mapping[str, Tensor] | None = None,
    weight: float | None = None,
) -> CodedLatent:
    """Code a latent ``(1, C, h, w)`` given in coefficient units; see ``encode_many``."""
    return encode_many(model, [latent], quality, clock, sparse=sparse, given=given, weight=weight)[0]


def encode_many(
    model: LatentModel,
    latents: Sequence[Tensor],
    quality: int,
    clock: Clock,
    *,
    sparse: bool = True,
    given: Mapping[str, Tensor] | None = None,
    weight: float | None = None,
) -> list[CodedLatent]:
    """Code latents ``(1, C, h, w)`` of one size, given in coefficient units, each as if it were alone.

    What is predicted in integers is predicted for all at once; what is computed in floating point, for each.

    Args:
        model: frozen.
        clock: takes the seconds of "context" and "coding".
        sparse: leave out channels that are zero everywhere, where that is shorter; off, for measurements.
        given: see ``Known.given``; of N latents.
        weight: bits that a squared error of one step is worth: a residual is rounded towards zero where that is cheaper; None
            rounds to nearest.
    """
    encodings = [_Encoding(model, latent, quality, clock, weight) for latent in latents]
    shapes = {name: (len(latents), *value.shape[1:]) for name, value in encodings[0].tensors.items()}

    def fix(step: Step, parameters: Tensor) -> Tensor:
        index = _on_cpu(step.index)
        each = zip(encodings, parameters.cpu().split(1), strict=True)
        return torch.cat([encoding.fix(step, index, own) for encoding, own in each]).to(model.device)

    with clock("context"):
        known = nothing_known(model, quality, shapes, given)
        model.walk(known, fix)
    decoded = known["y"].cpu().split(1)
    return [encoding.coded(y, sparse) for encoding, y in zip(encodings, decoded, strict=True)]


class _Encoding:
    """A latent on its way to a payload; all of it is on the CPU.

    Attributes:
        tensors: what is coded, in quantisation steps, not rounded.
    """

    def __init__(
        self, model: LatentModel, latent: Tensor, quality: int, clock: Clock, weight: float | None
    ) -> None:
        self.model, self.quality, self.clock, self.weight = model, quality, clock, weight
        y = latent.double() * model.gain_table[row_of(quality)].double()[:, None, None]
        side = model.scheduler.side(latent, model.units.exact_form(quality))
        self.tensors = {name: value.double().cpu() for name, value in {"y": y, **side}.items()}
        self._empty = np.ones(latent.shape[1], dtype=bool)
        self._steps: list[tuple[Step, Tensor, Tensor]] = []
        self._encoder = Encoder()
        self._encoder.code_flags(~self._empty)

    def fix(self, step: Step, index: tuple[Any, ...], parameters: Tensor) -> Tensor:
        """Code a step, whose index is on the CPU, too; return its values."""
        entropy_model = self.model.coding_model(step)
        centre = entropy_model.exact_centre(parameters)
        exact = self.tensors[step.tensor][index] - centre * 2.0**-CENTRE_FRACTION
        wanted = exact.round()
        if self.weight is not None:
            wanted = _cheaper(entropy_model, parameters, exact, wanted, self.weight)
        everything = np.ones_like(self._empty)
        residual = code_step(self._encoder, self.model, step, parameters, wanted, everything, self.clock)
        self._steps.append((step, parameters, residual))
        if step.tensor == "y":
            self._empty[step.channels] &= ~residual.any(-1).any(-1).any(0).numpy()
        return centre + residual * 2.0**CENTRE_FRACTION

    def coded(self, y: Tensor, sparse: bool) -> CodedLatent:
        """Return the coded latent, given it as decoded."""
        encoder, empty = self._encoder, self._empty
        payload = encoder.finish()
        if sparse and empty.any():
            # The same symbols again, without the channels that hold none: nearly always smaller.
            shorter = Encoder()
            shorter.code_flags(empty)
            with self.clock("context"):
                for step, parameters, residual in self._steps:
                    code_step(shorter, self.model, step, parameters, residual, ~empty, self.clock)
            again = shorter.finish()
            if len(again) < len(payload):
                payload, encoder = again, shorter
        return CodedLatent(self.quality, y, payload, encoder.digest, encoder.bits, int(empty.sum()))


def decode(
    model: LatentModel,
    payload: bytes,
    digest: int,
    quality: int,
    shape: Sequence[int],
    clock: Clock,
    *,
    flags: bool = True,
    given: Mapping[str, Tensor] | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Return the decoded latent ``(1, C, h, w)`` of a payload; see ``decode_many``."""
    stream = payload, digest
    return decode_many(model, [stream], quality, shape, clock, flags=flags, given=given, watch=watch)


def decode_many(
    model: LatentModel,
    streams: Sequence[tuple[bytes, int]],
    quality: int,
    shape: Sequence[int],
    clock: Clock,
    *,
    flags: bool = True,
    given: Mapping[str, Tensor] | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Return the decoded latents ``(N, C, h, w)`` (see ``CodedLatent.y``) of ``shape`` rows and columns.

    Args:
        streams: payload and digest of each.
        flags: the payloads begin with flags of empty channels (all but those of coder revision 1 do).
        given: see ``Known.given``; of N latents.
        watch: is told of every step of each.

    Raises:
        CorruptStreamError: a payload is damaged, or this machine computes differently.
    """
    channels = model.transform.latent_channels
    decoders = [Decoder(payload) for payload, _ in streams]
    live = [~d.code_flags(channels) if flags else np.ones(channels, dtype=bool) for d in decoders]

    def read(decoder: Decoder, live: NDArray[np.bool_], step: Step, parameters: Tensor) -> Tensor:
        residual = code_step(decoder, model, step, parameters, None, live, clock)
        if watch is not None:
            watch(step, parameters, residual, live)
        centre = model.coding_model(step).exact_centre(parameters)
        return residual.mul_(2.0**CENTRE_FRACTION).add_(centre)

    def fix(step: Step, parameters: Tensor) -> Tensor:
        each = zip(decoders, live, parameters.cpu().split(1), strict=True)
        return torch.cat([read(d, some, step, own) for d, some, own in each]).to(model.device)

    with clock("context"):
        shapes = {"y": (channels, *shape), **model.scheduler.side_shapes(*shape)}
        shapes = {name: (len(streams), *size) for name, size in shapes.items()}
        known = nothing_known(model, quality, shapes, given)
        model.walk(known, fix)
    for decoder, (_, digest) in zip(decoders, streams, strict=True):
        decoder.finish()
        if decoder.digest != digest:
            raise CorruptStreamError(
                f"the decoded symbols have digest {decoder.digest:08x}, the file says {digest:08x}; either "
                "the file is damaged or this machine computes differently: run licframe doctor"
            )
    return known["y"].cpu()


def nothing_known(
    model: LatentModel,
    quality: int,
    shapes: Mapping[str, Sequence[int]],
    given: Mapping[str, Tensor] | None = None,
) -> Known:
    """Return a state in which nothing is known, in the exact form, where the model computes."""
    zeros = {
        name: torch.zeros(*shape, dtype=torch.float64, device=model.device)
        for name, shape in shapes.items()
    }
    return Known(model.units.exact_form(quality), given, **zeros)


def _cheaper(model: EntropyModel, parameters: Tensor, exact: Tensor, near: Tensor, weight: float) -> Tensor:
    """Return residuals, one step nearer to zero where bits and squared error are less so."""
    values, exact, near = (parameters * 2.0**-FRACTION).float(), exact.float(), near.float()
    less = near - near.sign()
    costs = [model.bits(x, values) + weight * (exact - x).square() for x in (near, less)]
    return torch.where(costs[1] < costs[0], less, near).double()


def _on_cpu(index: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(part.cpu() if isinstance(part, Tensor) else part for part in index)


def code_step(
    coder: SymbolCoder,
    model: LatentModel,
    step: Step,
    parameters: Tensor,
    symbols: Tensor | None,
    live: NDArray[np.bool_],
    clock: Clock,
) -> Tensor:
    """Return a step's residuals, coded by a range encoder or read by a range decoder.

    Args:
        parameters: on the CPU, as everything here.
        symbols: the residuals when encoding; None when decoding.
        live: ``(C,)``, which channels of y are coded; the others are zero and cost nothing.
    """
    entropy_model = model.coding_model(step)
    with clock("coding", inside="context"):
        chosen = live[step.channels] if step.tensor == "y" else live[:0]
        if chosen.all():
            residual = entropy_model.code(coder, parameters, symbols)
        else:
            residual = torch.zeros_like(parameters[:, 0])
            if chosen.any():
                some = torch.from_numpy(np.flatnonzero(chosen))
                wanted = None if symbols is None else symbols[:, some]
                residual[:, some] = entropy_model.code(coder, parameters[:, :, some], wanted)
        coder.note(residual)
    return residual
