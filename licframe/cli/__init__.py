"""The command line: one file per command. Importing it does not import torch."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``licframe``. The exit code of an error is its class's (see ``licframe.errors``)."""
    from licframe.cli.app import app
    from licframe.errors import LicframeError

    try:
        app()
    except LicframeError as error:
        print(f"licframe: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
