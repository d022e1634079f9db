"""Where a run computes, in what precision, and with which other processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import attrs
import torch

from licframe.errors import UsageError
from licframe.runtime.precision import has_bfloat16
from licframe.training.processes import Processes

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "32-true", "bf16-mixed")


@attrs.frozen
class Hardware:
    """A device, and whether matrices are multiplied in bfloat16; weights, sums and pixels stay float32.

    Attributes:
        processes: that train together, each on a device of its own.
    """

    device: torch.device
    bfloat16: bool = False
    processes: Processes = attrs.field(factory=Processes)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context that forward passes run in."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()

    @contextmanager
    def settings(self) -> Iterator[None]:
        """Set for a run what a device does by default otherwise: no 19-bit products in float32, fastest algorithms.

        Several processes find each other here.
        """
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = False, False, True
        self.processes.join(self.device)
        try:
            yield
        finally:
            cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before


def hardware_on(device: str = "auto", precision: str = "auto") -> Hardware:
    """Return the hardware of a run, or of one of several processes that ``torchrun`` started.

    Args:
        device: auto, which is a GPU where there is one; cpu; or cuda. Several processes on a machine take a GPU each.
        precision: 32-true; bf16-mixed; or auto, which is the second where the device has it.

    Raises:
        UsageError: an unknown word, or a device that is not there.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: expected {', '.join(PRECISIONS)}")
    if device not in DEVICES:
        raise UsageError(f"--device {device}: expected {', '.join(DEVICES)}")
    has = torch.cuda.is_available()
    if device == "cuda" and not has:
        raise UsageError("--device cuda: torch sees no such device; expected auto, cpu or cuda")
    processes = Processes.started()
    found = torch.device("cpu")
    if has and device != "cpu":
        found = torch.device("cuda") if processes.count == 1 else torch.device("cuda", processes.local)
        if processes.local >= torch.cuda.device_count():
            raise UsageError(
                f"torchrun started more processes on this machine than it has GPUs, {torch.cuda.device_count()}; give "
                "--nproc_per_node that number, or name --device cpu"
            )
    bfloat16 = precision == "bf16-mixed" or (precision == "auto" and has_bfloat16(found))
    return Hardware(found, bfloat16, processes)
