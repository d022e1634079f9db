"""``licframe demo``: a page of this machine to drop pictures on."""

from __future__ import annotations

import os
import socket
import threading
import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from licframe.cli.options import Limit

_PIXELS = 2**24
"""Most pixels unless a limit is raised: a page holds a picture six times."""

_INTERRUPTED = 130


def demo(
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Where the page is; 0 takes a free one.")
    ] = 8765,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    limit: Limit = None,
) -> None:
    """Show a local page to drop pictures on.

    Original and result lie under a slider, beside JPEG, WebP and AVIF at equal bytes. A .lic file that is dropped is
    shown. The page is for this machine alone, and loads nothing from elsewhere. Ctrl+C ends it.

    Example: licframe demo --port 9000 --no-open
    """
    import attrs

    from licframe.errors import UsageError
    from licframe.runtime.extras import require
    from licframe.runtime.limits import DEFAULT

    require("starlette", "licframe demo")
    uvicorn = require("uvicorn", "licframe demo")
    from licframe.evaluation.pages import LARGEST_SIDE
    from licframe.evaluation.serving import HOST, application

    limits = attrs.evolve(DEFAULT, pixels=_PIXELS, side=LARGEST_SIDE).with_settings(limit or [])
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {port}: {error.strerror}; name another with --port, or 0"
        ) from error
    with listening:
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        typer.echo(f"licframe demo: {address} (Ctrl+C ends it)")
        if open_page:
            webbrowser.open(address)  # which waits until it is answered
        served = application(limits, lambda: server.should_exit)
        server = uvicorn.Server(uvicorn.Config(served, log_level="warning", timeout_graceful_shutdown=5))
        with suppress(KeyboardInterrupt):  # which does not come where the shell has interrupts ignored
            server.run(sockets=[listening])
        # torch in a thread would abort if the interpreter ended under it
        if threading.active_count() > 1:
            os._exit(_INTERRUPTED)
        raise typer.Exit(_INTERRUPTED)
