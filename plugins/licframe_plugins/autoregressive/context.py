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
from torch import Tensor, nn
from torch.nn import functional as F

from licframe.exact.layers import FRACTION, ExactConv, ExactReLU
from licframe.exact.units import CONTEXT_LIMIT, Condition
from licframe.interfaces import ContextScheduler, EntropyModel, Known, ParameterAxis, Step, trained_as
from licframe_plugins.hyperprior.context import SINGLE_OUTPUT, own_start
from licframe_plugins.hyperprior.hyperprior import Hyperprior

from .plugin import Options

_REACH = 2
_WINDOW = [(-2, b) for b in range(-2, 3)] + [(-1, b) for b in range(-2, 3)] + [(0, -2), (0, -1)]
_SKEW = _REACH + 1


class Autoregressive(ContextScheduler):
    """Serial 5x5 context; see the module's text."""

    serial = True
    passes = 1

    def __init__(
        self, options: Options, latent_channels: int, entropy_models: Sequence[EntropyModel]
    ) -> None:
        super().__init__()
        (entropy,) = entropy_models
        self.options, self.channels, self.kinds = options, latent_channels, entropy.kinds
        self.start = torch.tensor(entropy.start)
        self.hyperprior = Hyperprior(latent_channels, options.hyper, options.width, entropy)
        self.window = ExactConv(len(_WINDOW) * latent_channels, options.context, 1)
        self.hidden = ExactConv(options.context + options.width, options.hidden, 1)
        self.output = ExactConv(options.hidden, len(self.kinds) * latent_channels, 1)
        nn.init.zeros_(self.output.weight)
        trained_as("output", self.output.weight)
        self.act = ExactReLU()
        self.own = trained_as("scale", nn.Parameter(torch.zeros(len(self.kinds), latent_channels)))
        self._plans: dict[tuple[int, int, str, torch.device], Sequence[Step]] = {}
        window = torch.tensor(_WINDOW)[:, :, None, None] + _REACH
        self.register_buffer("_window", window, persistent=False)

    def side(self, latent: Tensor, condition: Condition) -> dict[str, Tensor]:
        return {"z": self.hyperprior.side(latent, condition)}

    def side_shapes(self, h: int, w: int) -> dict[str, tuple[int, int, int]]:
        return {"z": self.hyperprior.shape(h, w)}

    def plan(self, h: int, w: int) -> Sequence[Step]:
        return self._plan(h, w, self.options.order)

    def short_plan(self, h: int, w: int) -> Sequence[Step]:
        return self._plan(h, w, "wavefront")

    def _plan(self, h: int, w: int, order: str) -> Sequence[Step]:
        """Return the steps of an order, their positions as tensors on the device; kept until another is asked for."""
        key = (h, w, order, self.own.device)
        if key not in self._plans:
            row, column = torch.arange(h)[:, None], torch.arange(w)
            front = row * w + column if order == "raster" else _SKEW * row + column
            # By front, and upwards in one: a diagonal runs from the lower left to the upper right.
            places = (front * h - row).flatten().argsort()
            sizes = front.flatten().unique(return_counts=True)[1].tolist()
            rows, columns = (t.to(self.own.device)[None].split(sizes, 1) for t in (places // w, places % w))
            channels = slice(0, self.channels)
            fronts = [Step(r, c, channels) for r, c in zip(rows, columns, strict=True)]
            self._plans = {key: [self.hyperprior.step(h, w), *fronts]}
        return self._plans[key]

    def predict(self, step: Step, known: Known) -> Tensor:
        if step.tensor == "z":
            return self.hyperprior.predict(step, known)
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
        return self._network(seen, features[:, :, rows, columns], condition, step.channels)

    def predict_all(self, known: Known, values: Mapping[str, Tensor]) -> Iterator[tuple[Step, Tensor]]:
        h, w = known["y"].shape[-2:]
        first = self.hyperprior.step(h, w)
        yield first, self.predict(first, known)
        known.place(first, values["z"])
        everything = slice(0, self.channels)
        padded = _pad(known.condition.context(values["y"], everything))
        seen = [padded[..., _REACH + a :, _REACH + b :][..., :h, :w] for a, b in _WINDOW]
        features = self.hyperprior.features(known)
        parameters = self._network(torch.cat(seen, 1), features, known.condition, everything)
        yield Step(slice(0, h, 1), slice(0, w, 1), everything), parameters

    def _network(self, seen: Tensor, features: Tensor, condition: Condition, channels: slice) -> Tensor:
        x = torch.cat([self.act(self.window(seen)), features], 1)
        raw = self.output(self.act(self.hidden(x))).unflatten(1, (len(self.kinds), -1))
        raw = raw + condition.constant(self.own)[..., None, None]
        return condition.parameters(raw, self.kinds, channels)

    def freeze(self) -> None:
        self.hyperprior.freeze()
        self.window.freeze(CONTEXT_LIMIT * 2.0**FRACTION)
        self.hidden.freeze(self.act.bound)
        self.output.freeze(self.act.bound)

    def initialise(self, latents: Tensor, std: Tensor) -> None:
        self.hyperprior.initialise(std)
        with torch.no_grad():
            self.own += own_start(self.kinds, self.start, std)

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        return SINGLE_OUTPUT


def _pad(x: Tensor) -> Tensor:
    return F.pad(x, (_REACH, _REACH, _REACH, 0))
