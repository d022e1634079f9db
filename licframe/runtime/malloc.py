"""Memory that a process keeps."""

from __future__ import annotations

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 256 * 2**20
_LARGEST = 32 * 2**20  # the most that glibc takes


def keep_freed() -> bool:
    """Ask the C library to keep what is freed instead of handing it back; return whether it will.

    A codec asks for the same blocks of some megabytes for every picture. By default glibc returns them to the system each
    time, and fetching them again takes a tenth of decoding. It concerns the whole process, so a library leaves it to the
    program: the command line does it. At most 256 MiB are kept; other C libraries are left alone.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no glibc; on Windows None is no library
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEPT) and mallopt(_M_MMAP_THRESHOLD, _LARGEST))
