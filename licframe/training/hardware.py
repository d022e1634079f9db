"""Where a leg runs, and in what precision."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision

from licframe.errors import LicframeError
from licframe.precision import has_bfloat16

PRECISIONS = ("auto", "32-true", "bf16-mixed")


class Autocast(MixedPrecision):
    """Fabric's bfloat16 without its rounding of all inputs: pixels and latents have more than eight bits."""

    def __init__(self, device: torch.device) -> None:
        super().__init__("bf16-mixed", device.type)

    def convert_input(self, data: Any) -> Any:
        return data


def fabric_on(accelerator: str = "auto", precision: str = "auto") -> Fabric:
    """Return Lightning's Fabric for one device.

    Args:
        accelerator: auto, cpu or cuda.
        precision: 32-true; bf16-mixed, which multiplies matrices in bfloat16 and keeps weights and sums in
            float32; or auto, which is the second where the device has it.

    Raises:
        LicframeError: an unknown word, or a device that is not there.
    """
    if precision not in PRECISIONS:
        raise LicframeError(f"--precision {precision}: expected {', '.join(PRECISIONS)}")
    try:
        device = Fabric(accelerator=accelerator, devices=1).device
    except (RuntimeError, ValueError) as error:
        raise LicframeError(f"--accelerator {accelerator}: {error}; expected auto, cpu or cuda") from error
    if precision == "32-true" or (precision == "auto" and not has_bfloat16(device)):
        return Fabric(accelerator=accelerator, devices=1)
    return Fabric(accelerator=accelerator, devices=1, plugins=[Autocast(device)])
