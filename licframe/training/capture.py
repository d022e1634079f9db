"""A step as one CUDA graph: recorded once, played back with a single launch.

On a processor, and where recording fails, the step is run as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from licframe.errors import LicframeError

_EAGER_STEPS = 3
"""Before recording: libraries choose algorithms, and optimisers make their state."""


class CapturedStep:
    """Run a step, from its fourth call on from a recording.

    Args:
        step: takes tensors and changes others in place; reads nothing back.
        clear: forgets the gradients of a step that was not finished.
        enabled: whether to record at all.
        tell: is told in a line why a recording failed.
    """

    def __init__(
        self,
        step: Callable[..., None],
        clear: Callable[[], None],
        device: torch.device,
        *,
        enabled: bool,
        tell: Callable[[str], None],
    ) -> None:
        self._step, self._clear, self._device, self._tell = step, clear, device, tell
        self._enabled = enabled and device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self._enabled else None
        self._key: Hashable = None
        self._calls = 0
        self._recorded: tuple[Any, tuple[Tensor, ...]] | None = None

    def __call__(self, key: Hashable, batch: tuple[Tensor, ...]) -> None:
        """Run the step on a batch; equal keys mean the same operations on tensors of the same shapes."""
        if key != self._key:  # the memory of an old recording goes before another is made
            self._key, self._calls, self._recorded = key, 0, None
        self._calls += 1
        if self._recorded is not None:
            graph, inputs = self._recorded
            for into, value in zip(inputs, batch, strict=True):
                into.copy_(value)
            graph.replay()
        elif not self._enabled:
            self._step(*batch)
        elif self._calls <= _EAGER_STEPS:
            self._beside(batch)
        else:
            self._record(batch)

    def _beside(self, batch: tuple[Tensor, ...]) -> None:
        """Run on another stream, as recording wants it."""
        assert self._stream is not None
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            self._step(*batch)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

    def _record(self, batch: tuple[Tensor, ...]) -> None:
        inputs = tuple(value.clone() for value in batch)
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
        try:
            with torch.cuda.graph(graph):
                self._step(*inputs)
        except RuntimeError as error:
            self._give_up(str(error).splitlines()[0], stream)
            self._step(*batch)
            return
        self._recorded = graph, inputs
        graph.replay()

    def _give_up(self, why: str, stream: Any) -> None:
        """Go on without recording.

        Raises:
            LicframeError: the failure left the device unusable, as it does with some versions of torch.
        """
        self._enabled = False
        self._clear()
        try:
            torch.cuda.set_stream(stream)
            torch.cuda.synchronize(self._device)
            torch.rand(1, device=self._device)
        except RuntimeError as error:
            raise LicframeError(
                f"a step could not be recorded ({why}) and the device cannot go on; begin again with --no-capture"
            ) from error
        self._tell(f"steps are run one by one, for they cannot be recorded: {why}")
