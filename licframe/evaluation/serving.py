"""The server of ``licframe demo``: one page, which sends files and is told what becomes of them. For this machine alone.

Starlette answers only what names this machine, and takes files only from the page itself: those of another page would have
to ask first, and nothing is allowed to them.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from licframe.evaluation import demo
from licframe.evaluation.datasets import sample_picture
from licframe.runtime.limits import Limits

if TYPE_CHECKING:
    from starlette.applications import Starlette

HOST = "127.0.0.1"
_FILE = "application/octet-stream"
_LOOK = 0.5
"""Seconds between two looks at whether anybody listens."""
_LINES = "application/x-ndjson"
_HEADERS = {
    # whatever stands in a file, the page loads nothing from elsewhere
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


def application(limits: Limits, ending: Callable[[], bool] = lambda: False) -> Starlette:
    """Return the application; starlette must be installed.

    Args:
        limits: of what is sent.
        ending: says whether the server is to end; what is being answered then ends, too.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
    from starlette.routing import Route

    desk = demo.Desk(limits)

    async def page(_: Request) -> Response:
        return HTMLResponse(demo.page(), headers=_HEADERS)

    async def sample(_: Request) -> Response:
        return FileResponse(sample_picture(), headers=_HEADERS)

    async def answer(request: Request) -> Response:
        # A page from elsewhere can send nothing of this type unasked.
        if request.headers.get("content-type") != _FILE:
            return _refused(415, f"send the bytes of a file, as {_FILE}")
        name = request.query_params.get("name") or "the file"
        data = bytearray()
        try:
            async for part in request.stream():
                data += part
                if len(data) > limits.most_bytes:
                    return _refused(
                        413,
                        f"{name} has more than {limits.most_bytes} bytes, which is more than a picture within the limits "
                        "takes; if you trust it, start licframe demo with a higher --limit pixels=",
                    )
        except ClientDisconnect:
            return _refused(400, f"{name} did not arrive whole")
        events = desk.answer(bytes(data), name, dict(request.query_params))

        async def unheard() -> bool:
            return ending() or await request.is_disconnected()

        return StreamingResponse(_lines(events, unheard), media_type=_LINES, headers=_HEADERS)

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


async def _lines(
    events: Generator[demo.Event], unheard: Callable[[], Awaitable[bool]]
) -> AsyncIterator[str]:
    """Yield lines of events until nobody listens any more; then the next one has its turn."""
    told: asyncio.Queue[demo.Event | None] = asyncio.Queue()
    loop, gone = asyncio.get_running_loop(), threading.Event()

    def work() -> None:
        with closing(events), suppress(RuntimeError):  # of a loop that has ended
            for event in events:
                if gone.is_set():
                    return
                loop.call_soon_threadsafe(told.put_nowait, event)
            loop.call_soon_threadsafe(told.put_nowait, None)

    # The end of the server waits for no daemon, as it would for a thread of its own pool.
    threading.Thread(target=work, daemon=True).start()
    try:
        while not await unheard():
            try:
                event = await asyncio.wait_for(told.get(), _LOOK)
            except TimeoutError:
                continue
            if event is None:
                return
            yield _line(event)
    finally:
        gone.set()


def _line(event: demo.Event) -> str:
    return json.dumps(event) + "\n"
