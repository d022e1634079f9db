"""Which device computes, and the proof that its products of float64 are exact."""

from __future__ import annotations

import functools

import torch

from licframe.errors import NotExactError, UsageError

DEVICES = ("cpu", "cuda", "auto")
_COMPARED = 64


def device_named(name: str) -> torch.device:
    """Return the device of a name, after its known answers.

    Args:
        name: cpu; cuda, or one of several such as cuda:1; auto is a GPU where one is there and exact, else the CPU.

    Raises:
        UsageError: an unknown name, or a device that is not there; NotExactError: a device that rounds.
    """
    if name == "auto":
        try:
            return device_named("cuda")
        except (UsageError, NotExactError):
            return device_named("cpu")
    kind, _, number = name.partition(":")
    if kind not in DEVICES or (number and (kind != "cuda" or not number.isdigit())):
        raise UsageError(
            f"device {name}: expected {', '.join(DEVICES)}, or one of several GPUs such as cuda:1"
        )
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"device {name}: torch sees {torch.cuda.device_count()} such devices; use cpu or auto"
        )
    device = torch.device(name)
    prove_exact(device)
    return device


@functools.cache
def prove_exact(device: torch.device) -> None:
    """Compare products of integers in float64, with sums near 2^53, to known answers; once a process and device.

    Libraries may compute float64 by way of narrower numbers, which no proof about float64 covers. The shapes are those of
    ``layers``: one product for all taps, one for each, many positions and few.

    Raises:
        NotExactError: an answer differs.
    """
    generator = torch.Generator().manual_seed(0)
    for rows, inner, columns in ((64, 576, 100), (256, 64, 4096), (3, 4096, 1)):
        largest = int((2**53 / inner) ** 0.5)  # a sum of inner products of such numbers stays below 2^53
        weight = torch.randint(-largest, largest + 1, (rows, inner), generator=generator)
        seen = torch.randint(-largest, largest + 1, (inner, columns), generator=generator)
        weight[0], seen[:, 0] = largest, largest
        bias = torch.randint(-(2**20), 1, (rows, 1), generator=generator)
        operands = (value.double().to(device)[None] for value in (bias, weight, seen))
        # 64-bit integers are slow, and a device that rounds does so in every column: some are compared.
        some = torch.cat(
            [torch.zeros(1, dtype=torch.int64), torch.randperm(columns, generator=generator)[:_COMPARED]]
        )
        found = torch.baddbmm(*operands)[0].cpu()[:, some]
        known = bias + weight @ seen[:, some]
        if not torch.equal(found.long(), known):
            raise NotExactError(
                f"device {device} does not multiply float64 exactly (largest error {float((found - known).abs().max()):g}"
                "), so it would decode other pictures; use --device cpu"
            )
