"""Server-sent events: how they are written, and the answer that carries them.

The format is https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

# A comment, and one line end only: strict parsers take an empty line for the end of an event without a type.
PING = b": ping\n"
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    # nginx gathers answers unless it is told not to.
    "X-Accel-Buffering": "no",
}


def frame(kind: str, data: bytes, *, event_id: str | None = None) -> bytes:
    """One event. `data` is JSON on one line."""
    if event_id is None:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event_id.encode(), kind.encode(), data)


class OpenStreams:
    """The streams that a gateway serves at the moment, up to so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether there is room for no other."""
        return self.count >= self._most

    async def counted(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same events; while they run, they count."""
        self.count += 1
        try:
            async for chunk in events:
                yield chunk
        finally:
            self.count -= 1


class EventStreamAnswer(Response):
    """Sends what an iterator yields until it ends or the client hangs up. It waits for clients that read slowly."""

    def __init__(self, events: AsyncIterator[bytes], *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers={**HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's signature
        """Answers."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send(send), name="event stream")
        leaving = asyncio.create_task(_gone(receive), name="event stream's client")
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not sending.done():
                sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def _send(self, send: Send) -> None:
        async with contextlib.aclosing(self._events) as events:  # type: ignore[type-var]  # generators, all of them
            async for chunk in events:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
