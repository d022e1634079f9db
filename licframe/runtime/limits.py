"""What is accepted unless the user raises a limit. Needs neither torch nor numpy."""

from __future__ import annotations

import os
import warnings

import attrs

from licframe.errors import LicframeWarning, LimitError, UsageError

_WARN_PIXELS = 89_000_000
_BYTES_PER_PIXEL = 500
"""Memory that coding takes, measured over the shipped profiles and rounded up."""
_UNTILED_PIXELS = 2**24
_BYTES_PER_FURTHER_PIXEL = 64
"""The same of pictures in tiles: beyond so many pixels only what is kept of the whole picture grows with it."""

_METADATA = 2**24

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not every system can tell
        return 8 * 2**30


@attrs.frozen
class Limits:
    """Limits of an image, in a picture or a .lic file.

    Attributes:
        pixels: most pixels; side: longest side in pixels.
        memory: most bytes that coding it may need, by estimate; the machine's memory at first.
        seconds: longest time that decoding may take.
    """

    pixels: int = 268_000_000
    side: int = 2**17
    memory: int = attrs.field(factory=_physical_memory)
    seconds: float = 600.0

    @property
    def most_pixels(self) -> int:
        """Pixels that the limits of pixels and memory allow."""
        first = min(_UNTILED_PIXELS, self.memory // _BYTES_PER_PIXEL)
        further = max(0, self.memory - self.memory_for(_UNTILED_PIXELS)) // _BYTES_PER_FURTHER_PIXEL
        return min(self.pixels, first + further)

    @property
    def most_bytes(self) -> int:
        """Most bytes of a file of such an image that somebody sends: four samples of 16 bits a pixel, and some metadata."""
        return 8 * self.most_pixels + _METADATA

    @staticmethod
    def memory_for(pixels: int, *, tiled: bool = True) -> int:
        """Return the bytes of memory that coding is estimated to take.

        Args:
            tiled: in tiles where it is large, as encoders make it by default.
        """
        further = max(0, pixels - _UNTILED_PIXELS) if tiled else 0
        return (pixels - further) * _BYTES_PER_PIXEL + further * _BYTES_PER_FURTHER_PIXEL

    def check(self, width: int, height: int, where: str, *, tiled: bool = True) -> None:
        """Raise LimitError, naming the option that helps, if an image is outside; warn if it is large.

        Args:
            tiled: see ``memory_for``.
        """
        pixels = width * height
        memory = self.memory_for(pixels, tiled=tiled)
        for name, value, largest, unit in (
            ("pixels", pixels, self.pixels, "pixels"),
            ("side", max(width, height), self.side, "pixels along a side"),
            ("memory", memory, self.memory, "bytes of memory, by estimate"),
        ):
            if value > largest:
                raise LimitError(
                    f"{where} is {width}x{height} and takes {value} {unit}; at most {largest} are allowed; if you trust "
                    f"it, raise the limit with --limit {name}={value}"
                )
        if pixels > _WARN_PIXELS:
            warnings.warn(
                f"{where} has {pixels} pixels and will take a while", LicframeWarning, stacklevel=3
            )

    def with_settings(self, settings: list[str]) -> Limits:
        """Return limits changed by ``name=value`` texts; K, M and G multiply by powers of 1024.

        Raises:
            UsageError: no such limit, or no positive number.
        """
        changed: dict[str, float] = {}
        for text in settings:
            name, _, value = text.partition("=")
            if name not in attrs.fields_dict(Limits):
                raise UsageError(f"--limit {text}: known limits are {', '.join(attrs.fields_dict(Limits))}")
            unit = value[-1:].lower() if value[-1:].isalpha() else ""
            try:
                number = float(value.rstrip("kKmMgG")) * _UNITS[unit]
            except (ValueError, KeyError):
                number = 0
            if not 0 < number < float("inf"):
                raise UsageError(
                    f"--limit {text}: write a positive number, for example {name}=5e8 or {name}=4G"
                )
            changed[name] = number if name == "seconds" else int(number)
        return attrs.evolve(self, **changed)  # type: ignore[arg-type]


DEFAULT = Limits()
