"""The processes that train together: each computes its part of a batch, and all take the same step.

``torchrun`` starts them and tells each who it is. Gradients are averaged; what is decided by a clock, or written, is the
first process's.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import attrs
import torch
import torch.distributed
from torch import Tensor

from licframe.errors import UsageError

T = TypeVar("T")

_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")


@attrs.frozen
class Processes:
    """The processes of a run, seen by one of them; a run of one has nobody to wait for.

    Attributes:
        rank: which it is, 0 .. count - 1; count: how many there are.
        local: which it is on its machine, and so which GPU it takes.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @classmethod
    def started(cls) -> Processes:
        """Return those that ``torchrun`` started this one with.

        Raises:
            UsageError: its environment variables are incomplete.
        """
        if os.environ.get("WORLD_SIZE", "1") == "1":
            return cls()
        told = {name: os.environ.get(name, "") for name in _NUMBERS}
        if not (all(value.isdigit() for value in told.values()) and os.environ.get("MASTER_ADDR")):
            found = ", ".join(f"{name} is {value or 'not set'}" for name, value in told.items())
            raise UsageError(
                f"WORLD_SIZE says that there are several processes, but not how they meet: {found}, MASTER_ADDR is "
                f"{os.environ.get('MASTER_ADDR') or 'not set'}; start them with torchrun, or unset WORLD_SIZE"
            )
        rank, count, local, _ = map(int, told.values())
        return cls(rank, count, local)

    @property
    def first(self) -> bool:
        """Whether this is the process that logs and writes."""
        return self.rank == 0

    def join(self, device: torch.device) -> None:
        """Let the processes talk to each other, about tensors in main memory and on a device, until this one ends.

        They can meet once only: torch finds the old addresses at a second meeting.
        """
        if self.count == 1 or torch.distributed.is_initialized():
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        torch.distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            rank=self.rank,
            world_size=self.count,
        )
        atexit.register(torch.distributed.destroy_process_group)

    def alone(self, what: str) -> None:
        """Refuse what processes do not share.

        Raises:
            UsageError: there are several.
        """
        if self.count > 1:
            raise UsageError(f"{what} is for one process; start it without torchrun")

    def share_of(self, count: int) -> int:
        """Return how many of the patches of a step are a process's.

        Raises:
            UsageError: they cannot be shared evenly.
        """
        if count % self.count:
            raise UsageError(
                f"{self.count} processes cannot share {count} patches a step evenly; choose a --batch, and with --crop one "
                "whose larger patches are as many, that they divide"
            )
        return count // self.count

    def part(self, batch: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Return this process's part of tensors ``(N, ...)`` of a batch."""
        return tuple(value.chunk(self.count)[self.rank] for value in batch)

    def first_says(self, make: Callable[[], T]) -> T:
        """Return what the first process makes; the others wait for it."""
        if self.count == 1:
            return make()
        said = [make() if self.first else None]
        torch.distributed.broadcast_object_list(said, 0, device=torch.device("cpu"))
        return said[0]  # type: ignore[return-value]

    def agreed(self, value: float) -> float:
        """Return a number of the first process."""
        if self.count == 1:
            return value
        said = torch.tensor(value, dtype=torch.float64)
        torch.distributed.broadcast(said, 0)
        return float(said)

    @torch.no_grad()
    def equalise(self, values: Iterable[Tensor]) -> None:
        """Give tensors the values that the first process has."""
        for value in values if self.count > 1 else ():
            said = value.detach().contiguous()
            torch.distributed.broadcast(said, 0)
            value.copy_(said)

    def total(self, value: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.count == 1:
            return value
        total = value.clone()
        torch.distributed.all_reduce(total)
        return total

    @torch.no_grad()
    def average(self, loss: Tensor, parameters: Iterable[Tensor]) -> Tensor:
        """Replace gradients by their means over all processes, in one message; return the mean of the loss."""
        if self.count == 1:
            return loss
        values = [loss, *(p.grad for p in parameters if p.grad is not None)]
        means = self.total(torch.cat([value.flatten() for value in values])).div_(self.count)
        for value, mean in zip(values, means.split([value.numel() for value in values]), strict=True):
            value.copy_(mean.view(value.shape))
        return loss
