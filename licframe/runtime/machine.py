"""What there is room for on this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from licframe.runtime.limits import DEFAULT

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int:
    """Return the bytes of memory that are free, in the machine and in the container; all where nobody can tell."""
    free = [DEFAULT.memory]
    with suppress(OSError, ValueError, StopIteration):
        lines = _MEMINFO.read_text().splitlines()
        free.append(1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    with suppress(OSError, ValueError):  # no limit is the word "max"
        most, taken = (int((_GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free.append(most - taken)
    return max(min(free), 0)
