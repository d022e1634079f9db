"""A step as one CUDA graph: recorded once, played back with a single launch.

On a processor, and where recording fails, the step is run as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

_EAGER_STEPS = 3
"""Before recording: libraries choose algorithms, and optimisers make their state."""


class CapturedStep:
    """Run a step, from its fourth call on from a recording.

    Args:
        step: takes tensors and changes others in place; reads nothing back.
        enabled: whether to record at all.
        tell: is told in a line why a recording failed.
    """

    def __init__(
        self, step: Callable[..., None], device: torch.device, *, enabled: bool, tell: Callable[[str], None]
    ) -> None:
        self._step, self._device, self._tell = step, device, tell
        self._enabled = enabled and device.type == "cuda"
        self._calls: dict[Hashable, int] = {}
        self._recorded: dict[Hashable, tuple[Any, tuple[Tensor, ...]]] = {}

    def __call__(self, key: Hashable, batch: tuple[Tensor, ...]) -> None:
        """Run the step on a batch; equal keys mean the same operations on tensors of the same shapes."""
        if key in self._recorded:
            graph, inputs = self._recorded[key]
            for into, value in zip(inputs, batch, strict=True):
                into.copy_(value)
            graph.replay()
            return
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if not self._enabled:
            self._step(*batch)
        elif calls <= _EAGER_STEPS:
            self._beside(batch)
        else:
            self._record(key, batch)

    def _beside(self, batch: tuple[Tensor, ...]) -> None:
        """Run on another stream, as recording wants it."""
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            self._step(*batch)
        torch.cuda.current_stream(self._device).wait_stream(stream)

    def _record(self, key: Hashable, batch: tuple[Tensor, ...]) -> None:
        inputs = tuple(value.clone() for value in batch)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._step(*inputs)
        except RuntimeError as error:
            self._enabled = False
            torch.cuda.synchronize(self._device)
            self._tell(
                f"steps are run one by one, for they cannot be recorded: {str(error).splitlines()[0]}"
            )
            self._step(*batch)
            return
        self._recorded[key] = graph, inputs
        graph.replay()
