"""Blocks of a transform that can be switched off: what remains passes on what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def switched_off(block: nn.Module) -> Iterator[None]:
    """Let a block pass on what it is given."""

    def pass_on(_: nn.Module, inputs: tuple[Any, ...], __: Any) -> Any:
        return inputs[0]

    handle = block.register_forward_hook(pass_on)
    try:
        yield
    finally:
        handle.remove()
