"""Matrix products in bfloat16, for gradients: nothing that is coded or decoded is computed with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 matrices in hardware; elsewhere they are slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an old torch cannot say
        return False
    has = torch.cpu.get_capabilities()
    return any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def bfloat16_matmul(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which matrices are multiplied in bfloat16, where the device has it."""
    return torch.autocast(device.type, torch.bfloat16) if has_bfloat16(device) else nullcontext()


@contextmanager
def without_tf32(device: torch.device) -> Iterator[None]:
    """Keep a GPU from multiplying float32 with 10 bits of mantissa, so that it decodes the CPU's pictures within a level."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    if device.type != "cuda" or not any(before):
        yield
        return
    cudnn.allow_tf32, matmul.allow_tf32 = False, False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which nothing is computed in bfloat16, whatever is around it."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
