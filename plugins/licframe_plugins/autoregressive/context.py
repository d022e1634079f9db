"""The serial autoregressive model that both papers compare with (arXiv 1809.02736, 2001.01568).

Each position sees the hyperprior and the twelve causal positions of a 5x5 window::

    . . . . .
    . . . . .       two rows above, five wide, and two to the left
    . . ?

In raster order the plan has h * w steps. In wavefront order the positions with equal ``column + 3 * row``
do not see each other and are coded together: w + 3 (h - 1) steps, the same symbols. Only what a step
needs is computed: known values are converted once, when they become known, and the window of the step's
positions is gathered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from licframe.parts import (
    CONTEXT_LIMIT,
    FRACTION,
    EntropyModel,
    ExactConv,
    ExactReLU,
    Known,
    ParameterAxis,
    Step,
)
from licframe_plugins.hyperprior.base import HyperpriorContext
from licframe_plugins.modules import output_axes, output_layer

from .plugin import Options

_REACH = 2
_WINDOW = [(-2, b) for b in range(-2, 3)] + [(-1, b) for b in range(-2, 3)] + [(0, -2), (0, -1)]
_SKEW = _REACH + 1


class Autoregressive(HyperpriorContext):
    """Serial 5x5 context; see the module's text."""

    serial = True
    passes = 1
    _window: Tensor

    def __init__(
        self, options: Options, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__(options, latent_channels, entropy_models)
        self.options = options
        self.window = ExactConv(len(_WINDOW) * latent_channels, options.context, 1)
        self.hidden = ExactConv(options.context + options.width, options.hidden, 1)
        self.output = output_layer(options.hidden, len(self.kinds[0]) * latent_channels)
        self.act = ExactReLU()
        self._fronts: dict[tuple[int, int, str, torch.device], Sequence[Step]] = {}
        window = torch.tensor(_WINDOW)[:, :, None, None] + _REACH
        self.register_buffer("_window", window, persistent=False)

    def latent_plan(self, h: int, w: int) -> Sequence[Step]:
        return self._in_order(h, w, self.options.order)

    def short_plan(self, h: int, w: int) -> Sequence[Step]:
        return [self.hyperprior.step(h, w), *self._in_order(h, w, "wavefront")]

    def _in_order(self, h: int, w: int, order: str) -> Sequence[Step]:
        """Return the steps of an order, their positions as tensors on the device; kept until another is asked for."""
        key = (h, w, order, self._window.device)
        if key not in self._fronts:
            row, column = torch.arange(h)[:, None], torch.arange(w)
            front = row * w + column if order == "raster" else _SKEW * row + column
            # By front, and upwards in one: a diagonal runs from the lower left to the upper right.
            places = (front * h - row).flatten().argsort()
            sizes = front.flatten().unique(return_counts=True)[1].tolist()
            rows, columns = (
                t.to(self._window.device)[None].split(sizes, 1) for t in (places // w, places % w)
            )
            channels = slice(0, self.channels)
            self._fronts = {key: [Step(r, c, channels) for r, c in zip(rows, columns, strict=True)]}
        return self._fronts[key]

    def raw(self, step: Step, known: Known) -> Tensor:
        condition, features = known.condition, self.hyperprior.features(known)
        everything = slice(0, self.channels)
        rows, columns = step.rows, step.columns
        padded = known.memo.get("padded")
        if padded is None:
            padded = known.memo["padded"] = _pad(torch.zeros_like(known["y"]))
        else:
            last = known.memo["last"]
            r, c = last.rows, last.columns
            values = condition.context(known.read(last), everything).reshape(*padded.shape[:2], *r.shape)
            padded[:, :, r + _REACH, c + _REACH] = values
        known.memo["last"] = step
        seen = padded[
            :, :, rows[None] + self._window[:, 0], columns[None] + self._window[:, 1]
        ]  # (N, C, 12, 1, K)
        seen = seen.transpose(1, 2).flatten(1, 2)
        return self._network(seen, features[:, :, rows, columns])

    def predict_all(self, known: Known, values: Mapping[str, Tensor]) -> Iterator[tuple[Step, Tensor]]:
        h, w = known["y"].shape[-2:]
        first = self.hyperprior.step(h, w)
        yield first, self.predict(first, known)
        known.place(first, values["z"])
        everything = slice(0, self.channels)
        padded = _pad(known.condition.context(values["y"], everything))
        seen = [padded[..., _REACH + a :, _REACH + b :][..., :h, :w] for a, b in _WINDOW]
        raw = self._network(torch.cat(seen, 1), self.hyperprior.features(known))
        step = Step(slice(0, h, 1), slice(0, w, 1), everything)
        yield step, self.converted(raw, step, known.condition)

    def _network(self, seen: Tensor, features: Tensor) -> Tensor:
        x = torch.cat([self.act(self.window(seen)), features], 1)
        return self.output(self.act(self.hidden(x))).unflatten(1, (-1, self.channels))

    def freeze(self) -> None:
        super().freeze()
        self.window.freeze(CONTEXT_LIMIT * 2.0**FRACTION)
        self.hidden.freeze(self.act.bound)
        self.output.freeze(self.act.bound)

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        return {**super().parameter_axes(), **output_axes("output")}


def _pad(x: Tensor) -> Tensor:
    return F.pad(x, (_REACH, _REACH, _REACH, 0))
