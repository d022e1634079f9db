"""Which optimiser trains what, at which rate; nothing in a step waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.optim import AdamW

from licframe.model.interfaces import PARAMETER_KINDS, parameter_kind
from licframe.training.muon import Muon

RATES: Mapping[str, float] = MappingProxyType(
    {"matrix": 8e-3, "linear": 1e-4, "output": 1.2e-3, "bias": 1.2e-3, "scale": 6e-3}
)
"""Learning rate of each kind of parameter (``interfaces.PARAMETER_KINDS``)."""

_LARGEST_NORM = 1.0
"""Gradients of AdamW's parameters are scaled down to this length; Muon's update does not depend on it."""


_KEYS: Mapping[type, frozenset[str]] = MappingProxyType(
    {Muon: frozenset({"momentum"}), AdamW: frozenset({"step", "exp_avg", "exp_avg_sq"})}
)
"""Names of what an optimiser keeps for each parameter."""


@attrs.frozen
class Optimiser:
    """How parameters are trained: matrices by one optimiser, everything else by AdamW.

    Attributes:
        rates: learning rate by kind of parameter: matrix, hidden convolutions; linear, what starts near its optimum;
            output, last layers; bias; scale, gains and others in log units. A kind left out is not trained.
        matrices: makes the optimiser of hidden convolutions from parameters and a rate, a scalar tensor that changes;
            any of torch's will do, such as ``lambda params, rate: torch.optim.SGD(params, lr=rate)``. None gives them
            to AdamW.
        beta1: of AdamW.
    """

    rates: Mapping[str, float] = attrs.field(default=RATES)
    matrices: Callable[[list[Tensor], Tensor], torch.optim.Optimizer] | None = Muon
    beta1: float = 0.9

    @rates.validator
    def _known(self, _: Any, rates: Mapping[str, float]) -> None:
        unknown = sorted(rates.keys() - set(PARAMETER_KINDS))
        if unknown:
            raise ValueError(
                f"no parameter is of kind {', '.join(unknown)}; kinds are {', '.join(PARAMETER_KINDS)}"
            )

    def over(self, named: Iterable[tuple[str, Tensor]]) -> Optimisers:
        """Return the optimisers of named parameters; those that need no gradient are left out."""
        return Optimisers(self, {name: p for name, p in named if p.requires_grad})


class Optimisers:
    """The optimisers of one run, as one: their rates follow a factor, and their state is by parameter's name.

    Rates and norms are tensors on the device, so that a step may be recorded and played back.
    """

    def __init__(self, how: Optimiser, named: Mapping[str, Tensor]) -> None:
        kinds: dict[str, dict[str, Tensor]] = {}
        for name, p in named.items():
            if parameter_kind(p) in how.rates:
                kinds.setdefault(parameter_kind(p), {})[name] = p
        self._names = {p: name for several in kinds.values() for name, p in several.items()}
        self._rates: list[tuple[float, Tensor]] = []

        def rate_of(kind: str, p: Tensor) -> Tensor:
            rate = torch.tensor(how.rates[kind], device=p.device)
            self._rates.append((how.rates[kind], rate))
            return rate

        self._matrices: list[torch.optim.Optimizer] = []
        if how.matrices is not None and "matrix" in kinds:
            several = list(kinds.pop("matrix").values())
            self._matrices.append(how.matrices(several, rate_of("matrix", several[0])))
        groups = [
            {"params": list(several.values()), "lr": rate_of(kind, next(iter(several.values())))}
            for kind, several in kinds.items()
        ]
        self._adam: AdamW | None = None
        if groups:
            capturable = next(iter(self._names)).device.type == "cuda"
            self._adam = AdamW(
                groups, betas=(how.beta1, 0.98), weight_decay=0.0, fused=True, capturable=capturable
            )

    @property
    def recordable(self) -> bool:
        """Whether a step reads nothing back."""
        return all(isinstance(optimiser, Muon) for optimiser in self._matrices)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """What is trained, by name."""
        return {name: p for p, name in self._names.items()}

    def set(self, factor: float, beta2: float) -> None:
        """Multiply all rates; set the decay of AdamW's second moment."""
        for full, rate in self._rates:
            rate.fill_(full * factor)
        for group in [] if self._adam is None else self._adam.param_groups:
            group["betas"] = (group["betas"][0], beta2)

    @torch.no_grad()
    def step(self, loss: Tensor) -> Tensor:
        """Take a step where loss and gradients are finite, else none; return 1.0 where they were not, else 0.0."""
        clipped = [] if self._adam is None else [p for g in self._adam.param_groups for p in g["params"]]
        lengths = {
            kind: torch.stack(torch._foreach_norm(some)).square().sum()  # noqa: SLF001
            for kind, some in (
                ("clipped", [p.grad for p in clipped if p.grad is not None]),
                ("others", [p.grad for p in self._names if p.grad is not None]),
            )
            if some
        }
        bad = (~torch.isfinite(loss + sum(lengths.values()))).float()
        for optimiser in self._matrices:
            if isinstance(optimiser, Muon):
                optimiser.found_inf = bad
                optimiser.step()
            elif not float(bad):  # others know no way to leave a step out on the device
                optimiser.step()
        if self._adam is not None:
            # The fused kernel divides gradients by the one and leaves out the step for the other.
            norm = lengths.get("clipped", torch.zeros_like(bad)).sqrt()
            self._adam.grad_scale = (norm / _LARGEST_NORM).clamp_min(1.0)  # type: ignore[attr-defined]
            self._adam.found_inf = bad  # type: ignore[attr-defined]
            self._adam.step()
        return bad

    def clear(self) -> None:
        """Forget all gradients."""
        for p in self._names:
            p.grad = None

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Return moments by the name of their parameter."""
        return {
            self._names[p]: {key: value for key, value in state.items() if isinstance(value, Tensor)}
            for optimiser in self._all()
            for p, state in optimiser.state.items()
        }

    def restore(self, state: Mapping[str, Mapping[str, Any]]) -> int:
        """Take moments of parameters that are known by name and shape; return of how many."""
        taken = 0
        for optimiser in self._all():
            for group in optimiser.param_groups:
                for p in group["params"]:
                    saved, own = state.get(self._names[p], {}), optimiser.state[p]
                    keys = _KEYS.get(type(optimiser), saved.keys())
                    if (
                        not saved
                        or saved.keys() != keys
                        or any(v.shape not in (p.shape, ()) for v in saved.values())
                    ):
                        continue
                    for key, value in saved.items():
                        if key in own:
                            own[key].copy_(value)
                        else:
                            own[key] = value.to(p.device, copy=True)
                    taken += 1
        return taken

    def _all(self) -> list[torch.optim.Optimizer]:
        return self._matrices if self._adam is None else [*self._matrices, self._adam]
