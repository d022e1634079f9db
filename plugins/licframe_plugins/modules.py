"""Modules that several plugins share, with the types that torch's own leave open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from torch import nn

from licframe.parts import ExactConv, ParameterAxis, trained_as

M = TypeVar("M", bound=nn.Module)


class ListOf(nn.ModuleList, Generic[M]):
    """A ``ModuleList`` that says what it holds."""

    if TYPE_CHECKING:

        def __init__(self, modules: Iterable[M] = ()) -> None: ...
        def __iter__(self) -> Iterator[M]: ...
        @overload
        def __getitem__(self, idx: slice) -> ListOf[M]: ...
        @overload
        def __getitem__(self, idx: int) -> M: ...
        def __getitem__(self, idx: slice | int) -> ListOf[M] | M: ...


class Conv2d(nn.Conv2d):
    """A ``Conv2d`` that has a bias."""

    weight: nn.Parameter
    bias: nn.Parameter


def output_layer(inputs: int, outputs: int, rows: int = 1) -> ExactConv:
    """Return the last layer of a context network: 1x1, zero before training, at the rate of outputs."""
    layer = ExactConv(inputs, outputs, 1, rows)
    nn.init.zeros_(layer.weight)
    trained_as("output", layer.weight)
    return layer


def output_axes(layer: str, groups: int = 1, pass_index: int = 0) -> dict[str, ParameterAxis]:
    """Return where an output layer holds the parameters of an entropy model.

    Args:
        layer: its name in the scheduler; groups: runs of parameters, one after another, along its outputs.
    """
    return {
        f"{layer}.weight": ParameterAxis(0, groups, pass_index=pass_index),
        f"{layer}.bias": ParameterAxis(1, groups, pass_index=pass_index),
    }
