"""Everything licframe raises on purpose.

A message says what is wrong, where, what is allowed and what to do about it, in one or two
sentences a user can act on. The command line prints it without a traceback and exits with
``exit_code``.
"""

from __future__ import annotations

from collections.abc import Iterable


class LicframeError(Exception):
    """Base of every error that licframe raises for a reason the user can act on."""

    exit_code = 1


class UsageError(LicframeError):
    """What was asked for cannot be meant: an option out of range, or two that exclude each other."""

    exit_code = 2


class ProfileError(LicframeError):
    """A profile is malformed, or names parts that do not fit together."""

    exit_code = 3


class UnknownPluginError(ProfileError):
    """No installed plugin provides a part of that kind and name."""


class PluginLoadError(LicframeError):
    """A plugin is installed but cannot be imported, or does not keep its contract."""

    exit_code = 3


class CorruptStreamError(LicframeError):
    """A .lic file, or the coded stream inside it, is damaged, cut short or not ours."""

    exit_code = 4


class WeightsMismatchError(LicframeError):
    """The weights that a file or profile needs are missing, damaged or different."""

    exit_code = 5


class MissingPackageError(LicframeError):
    """A feature needs a package that only an extra of licframe installs."""


class NotExactError(LicframeError):
    """A layer cannot prove that its integer arithmetic is exact."""

    exit_code = 6


class LimitError(LicframeError):
    """An input is outside what is accepted: too large, empty, or of an unsupported kind."""

    exit_code = 7


class ImageError(LicframeError):
    """What a file or array holds is no picture, or of a kind that cannot be read or written."""

    exit_code = 8


class ResultsError(LicframeError):
    """Measured results are missing or malformed, or cannot be compared."""

    exit_code = 9


class FileError(LicframeError):
    """A file or folder is missing, cannot be read or written, or is there already."""

    exit_code = 10


class LicframeWarning(UserWarning):
    """Something was done that the user should know of, such as a conversion."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``"known: a, b; did you mean "a"?"`` for an unknown ``name``."""
    import difflib

    known = sorted(known)
    text = f"known: {', '.join(known) if known else 'none'}"
    close = difflib.get_close_matches(name, known, n=1)
    return f'{text}; did you mean "{close[0]}"?' if close else text


def located(error: LicframeError, where: str) -> LicframeError:
    """Return the same error with the place it happened in front."""
    return type(error)(f"{where}: {error}")
