"""The command line: one file per command. Importing it does not import torch."""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    """Run ``licframe``. The exit code of an error is its class's (see ``licframe.errors``)."""
    import warnings

    from licframe.cli.app import app
    from licframe.errors import LicframeError, LicframeWarning
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
