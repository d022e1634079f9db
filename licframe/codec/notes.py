"""What is said of a file, where it would be silent."""

from __future__ import annotations

from collections.abc import Callable

from licframe.picture.error import psnr_of
from licframe.picture.images import Picture
from licframe.profile.profile import LatentProfile, Profile

_GOOD_QUALITY = 50
_LEAST_PSNR, _LEAST_OF_OTHERS = 30.0, 24.0
"""From this quality of the scale of profiles on, less than so many dB is worth a note; of a profile that was trained for
something else than the squared error less than that."""


def of_profile(profile: Profile, psnr: float, quality: float) -> tuple[str, ...]:
    """Return a sentence on a PSNR, in dB, that is little for a quality of a latent profile; else nothing."""
    if not isinstance(profile, LatentProfile) or quality < _GOOD_QUALITY or psnr >= _least(profile):
        return ()
    said = f"the decoded picture has {psnr:.1f} dB PSNR, little for quality {quality:g}"
    return (f"{said}; --psnr asks for more, --lossless for every sample",)


def _least(profile: LatentProfile) -> float:
    return _LEAST_PSNR if profile.training.distortion == "mse" else _LEAST_OF_OTHERS


def of_synthesised(
    profile: LatentProfile, picture: Picture, quality: float, error: float | None, psnr: Callable[[], float]
) -> tuple[str, ...]:
    """Return ``of_profile`` of a picture that an encoder made.

    Args:
        error: mean squared error of it, values in [0, 1], or more; None where nobody knows, and nothing is said.
        psnr: returns its PSNR in dB over what is not fully transparent; a synthesis, and rarely asked for.
    """
    if error is None or quality < _GOOD_QUALITY:
        return ()
    seen = 1.0 if picture.alpha is None else float((picture.alpha > 0).mean()) or 1.0
    if psnr_of(error / seen) >= _least(profile):  # all of the error may be in what is seen
        return ()
    return of_profile(profile, psnr(), quality)
