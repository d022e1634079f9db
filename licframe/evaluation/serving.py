"""The server of ``licframe demo``: one page, which sends files and is told what becomes of them. For this machine alone.

Starlette answers only what names this machine, and takes files only from the page itself: those of another page would have
to ask first, and nothing is allowed to them.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from licframe.evaluation import demo
from licframe.evaluation.datasets import sample_picture
from licframe.runtime.limits import Limits

if TYPE_CHECKING:
    from starlette.applications import Starlette

HOST = "127.0.0.1"
_FILE = "application/octet-stream"
_LINES = "application/x-ndjson"
_HEADERS = {
    # whatever stands in a file, the page loads nothing from elsewhere
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def application(limits: Limits) -> Starlette:
    """Return the application; starlette must be installed.

    Args:
        limits: of what is sent.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
    from starlette.routing import Route

    desk = demo.Desk(limits)

    async def page(_: Request) -> Response:
        return HTMLResponse(demo.page(), headers=_HEADERS)

    async def sample(_: Request) -> Response:
        return FileResponse(sample_picture(), headers=_HEADERS)

    async def answer(request: Request) -> Response:
        if (
            request.headers.get("content-type") != _FILE
        ):  # a page elsewhere can send no file of this type unasked
            return _refused(415, f"send the bytes of a file, as {_FILE}")
        name = request.query_params.get("name") or "the file"
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > limits.most_bytes:
                return _refused(
                    413,
                    f"{name} has more than {limits.most_bytes} bytes, which is more than a picture within the limits "
                    "takes; if you trust it, start licframe demo with a higher --limit pixels=",
                )
        events = desk.answer(bytes(data), name, dict(request.query_params))
        return StreamingResponse(_lines(events, request), media_type=_LINES, headers=_HEADERS)

    async def _lines(events: Generator[demo.Event], request: Request) -> AsyncIterator[str]:
        told: asyncio.Queue[demo.Event | None] = asyncio.Queue()
        tell = partial(asyncio.get_running_loop().call_soon_threadsafe, told.put_nowait)
        gone = threading.Event()
        # The end of the server waits for no daemon, as it would for a thread of its own pool.
        threading.Thread(target=_work, args=(events, tell, gone), daemon=True).start()
        try:
            while (event := await told.get()) is not None and not await request.is_disconnected():
                yield _line(event)
        finally:
            gone.set()

    def _refused(status: int, sentence: str) -> Response:
        return Response(_line({"error": sentence}), status, media_type=_LINES, headers=_HEADERS)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/sample", sample),
            Route("/answer", answer, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
    )


def _work(
    events: Generator[demo.Event], tell: Callable[[demo.Event | None], object], gone: threading.Event
) -> None:
    """Tell events until nobody listens; then the next one has its turn."""
    with closing(events), suppress(RuntimeError):  # of a server that has ended
        for event in events:
            if gone.is_set():
                return
            tell(event)
        tell(None)


def _line(event: demo.Event) -> str:
    return json.dumps(event) + "\n"
