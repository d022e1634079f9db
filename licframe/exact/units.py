"""Between quantisation steps, in which a latent is coded, and the units a context network sees.

A latent element ``y`` is counted in quantisation steps: coefficient times gain. Context networks
are easier to train when the numbers they see and give do not depend on the quality, so

* what they see is ``y / (gain * spread)``, clamped to +-8, with spread = standard deviation + 0.08;
* a centre they give is in units of ``gain * spread``;
* a log-scale they give is a correction, in octaves, to the channel's own, plus ``log2(gain)``.

The float form does that with the sampled gains of training. The exact form uses integer tables of
129 qualities, made once by :meth:`LatentUnits.tabulate` and stored with the weights, since powers
and logarithms may differ in the last bit from one machine to the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from licframe.errors import NotExactError
from licframe.exact.layers import FRACTION

CENTRE_FRACTION = 6
"""Fractional bits of a centre, hence of a decoded latent: 1/64 of a quantisation step."""

CONTEXT_LIMIT = 8.0
"""Context inputs are clamped to this many spreads."""

LOWEST_QUALITY = -28
QUALITIES = range(LOWEST_QUALITY, 101)
"""Each has its own row in the integer tables."""

OUTPUT_LIMIT = 64.0
"""What a context network gives is clamped to +-OUTPUT_LIMIT before it is used."""

_CENTRE_UNIT = 0.25
"""Network outputs are scaled by this where they are centres, so that a step of training moves a
centre about as little as it moves a log-scale. A power of two."""

_TABLE_SHIFT = 16
_SPREAD_FLOOR = 0.08


def row_of(quality: int) -> int:
    """Return which row of a table belongs to a quality -28..100."""
    return quality - LOWEST_QUALITY


class LatentUnits(nn.Module):
    """Convert latents and network outputs of ``channels`` channels.

    ``float_form`` and ``exact_form`` give the conversions at a quality, in the float and the exact form.
    In the exact form every tensor holds integers in float64: latents with ``CENTRE_FRACTION``
    fractional bits, everything else with ``FRACTION``.
    """

    std: Tensor
    to_context: Tensor
    from_context: Tensor
    log2_gain: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("std", torch.ones(channels))
        shape = (len(QUALITIES), channels)
        for name in ("to_context", "from_context", "log2_gain"):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int64))

    @property
    def spread(self) -> Tensor:
        """Standard deviation plus a floor, in coefficient units, ``(C,)``."""
        return self.std + _SPREAD_FLOOR

    def tabulate(self, gain: Tensor) -> None:
        """Fill the integer tables from float gains ``(129, C)``.

        Raises:
            NotExactError: a gain is not finite, or too small or large for the tables.
        """
        unit = gain.double() * self.spread.double()
        if not (unit.min() > 2.0**-8 and unit.max() < 2.0**14):
            raise NotExactError(
                f"gains times spreads run from {float(unit.min()):.3g} to {float(unit.max()):.3g}; integer tables "
                "need 1/256 to 16384; training diverged: resume from an earlier checkpoint"
            )
        self.to_context.copy_((2.0 ** (_TABLE_SHIFT + FRACTION - CENTRE_FRACTION) / unit).round())
        self.from_context.copy_((2.0**_TABLE_SHIFT * unit).round())
        self.log2_gain.copy_((gain.double().log2() * 2.0**FRACTION).round())

    def float_form(self, gain: Tensor, quality: Tensor) -> Condition:
        """Return the float conversions for gains ``(N, C)`` at qualities ``(N,)`` in -28..100."""
        unit = (gain * self.spread)[:, :, None, None]
        return Condition(
            exact=False,
            plane=(quality / 100.0).reshape(-1, 1, 1, 1),
            to_context=1.0 / unit,
            from_context=unit,
            log2_gain=gain.log2()[:, :, None, None],
        )

    def exact_form(self, quality: int) -> Condition:
        """Return the integer conversions at a quality -28..100."""
        tables = (self.to_context, self.from_context, self.log2_gain)
        rows = [table[row_of(quality)].double()[None, :, None, None] for table in tables]
        plane = torch.full_like(rows[0][:, :1], quality * 2**FRACTION // 100)
        unit = 2.0**-_TABLE_SHIFT
        return Condition(True, plane, rows[0] * unit, rows[1] * unit, rows[2])


class Condition:
    """Conversions at one quality (see :class:`LatentUnits`).

    Attributes:
        exact: whether values are integers.
        plane: the quality in [-0.28, 1], ``(N, 1, 1, 1)``, as a network input.
    """

    def __init__(
        self, exact: bool, plane: Tensor, to_context: Tensor, from_context: Tensor, log2_gain: Tensor
    ) -> None:
        self.exact = exact
        self.plane = plane
        self._to_context = to_context
        self._from_context = from_context
        self._log2_gain = log2_gain

    def context(self, latent: Tensor, channels: slice, out: Tensor | None = None) -> Tensor:
        """Return latents ``(N, c, ...)`` of some channels in network units.

        Args:
            out: in the exact form, where to write them.
        """
        if not self.exact:
            return (latent * self._to_context[:, channels]).clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT)
        limit = CONTEXT_LIMIT * 2.0**FRACTION
        return torch.mul(latent, self._to_context[:, channels], out=out).floor_().clamp_(-limit, limit)

    def constant(self, values: Tensor) -> Tensor:
        """Return learned constants; in the exact form as integers."""
        return (values.detach().double() * 2.0**FRACTION).round() if self.exact else values

    def parameters(
        self, raw: Tensor, kinds: Sequence[str], channels: slice, near: Tensor | None = None
    ) -> Tensor:
        """Turn network outputs ``(N, P, c, ...)`` into the parameters of an entropy model.

        Args:
            kinds: what each of the P outputs is (see ``EntropyModel.kinds``).
            near: a centre ``(N, c, ...)`` that predicted centres are added to.
        """
        if self.exact:
            return self._exact_parameters(raw, kinds, channels, near)
        out = []
        for value, kind in zip(raw.unbind(1), kinds, strict=True):
            if kind == "centre":
                centre = value * _CENTRE_UNIT * self._from_context[:, channels]
                out.append(centre if near is None else centre + near)
            elif kind == "log2_scale":
                out.append(value + self._log2_gain[:, channels])
            else:
                out.append(value)
        return torch.stack(out, 1)

    def _exact_parameters(
        self, raw: Tensor, kinds: Sequence[str], channels: slice, near: Tensor | None
    ) -> Tensor:
        limit = OUTPUT_LIMIT * 2.0**FRACTION
        parameters = torch.empty(raw.shape, dtype=raw.dtype, device=raw.device)
        for value, out, kind in zip(raw.unbind(1), parameters.unbind(1), kinds, strict=True):
            if kind == "centre":
                torch.mul(value, _CENTRE_UNIT, out=out).floor_().clamp_(-limit, limit)
                out.mul_(self._from_context[:, channels]).floor_()
                if near is not None:
                    out.add_(near)
            elif kind == "log2_scale":
                torch.add(value, self._log2_gain[:, channels], out=out)
            else:
                out.copy_(value)
        return parameters

    def from_latent(self, latent: Tensor) -> Tensor:
        """Return a latent with the fractional bits of a predicted parameter."""
        return latent * 2.0 ** (FRACTION - CENTRE_FRACTION) if self.exact else latent
