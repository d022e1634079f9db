"""The command line: one file per command. Importing it does not import torch."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any


def main() -> None:
    """Run ``licframe``. The exit code of an error is its class's (see ``licframe.errors``)."""
    import warnings

    from licframe.cli.app import app
    from licframe.errors import FileError, LicframeError, LicframeWarning
    from licframe.runtime.malloc import keep_freed

    keep_freed()
    plain = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, LicframeWarning):
            print(f"licframe: note: {message}", file=sys.stderr)  # noqa: T201
        else:
            plain(message, category, *rest, **more)

    warnings.showwarning = show
    try:
        app()
    except LicframeError as error:
        print(f"licframe: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except OSError as error:  # of standard output; those of files are FileErrors
        print(f"licframe: {_of_output(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(FileError.exit_code)


def _of_output(error: OSError) -> str:
    """Return what to say of an error of the system; what could not be printed is dropped, else it fails again at the end."""
    if error.filename is not None:
        return str(error)
    with suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return f"cannot write standard output: {error.strerror or error}"
