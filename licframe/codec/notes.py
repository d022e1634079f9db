"""What is said of a file, where it would be silent."""

from __future__ import annotations

from collections.abc import Callable

from licframe.picture.error import psnr_of
from licframe.picture.images import Picture

_GOOD_QUALITY, _LEAST_PSNR = 50, 30.0
"""From this quality of the scale of profiles on, less than so many dB is worth a note."""


def of_fidelity(psnr: float, quality: float) -> tuple[str, ...]:
    """Return a sentence on a PSNR, in dB, that is little for a quality of the scale of profiles; else nothing."""
    if quality < _GOOD_QUALITY or psnr >= _LEAST_PSNR:
        return ()
    said = f"the decoded picture has {psnr:.1f} dB PSNR, little for quality {quality:g}"
    return (f"{said}; --psnr asks for more, --lossless for every sample",)


def of_synthesised(
    picture: Picture, quality: float, error: float | None, psnr: Callable[[], float]
) -> tuple[str, ...]:
    """Return ``of_fidelity`` of a picture that an encoder made.

    Args:
        error: mean squared error of it, values in [0, 1], or more; None where nobody knows, and nothing is said.
        psnr: returns its PSNR in dB over what is not fully transparent; a synthesis, and rarely asked for.
    """
    if error is None or quality < _GOOD_QUALITY:
        return ()
    seen = 1.0 if picture.alpha is None else float((picture.alpha > 0).mean()) or 1.0
    if psnr_of(error / seen) >= _LEAST_PSNR:  # all of the error may be in what is seen
        return ()
    return of_fidelity(psnr(), quality)
