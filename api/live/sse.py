"""Server-sent events: how they are written, and the answer that carries them.

The format is https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping

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
    """How many streams a gateway serves at the moment, and whether there is room for another."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether there is room for no other."""
        return self.count >= self._most

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """One more for the time of the block."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


class EventStreamAnswer(Response):
    """Sends what a stream tells until it ends or the client hangs up. It waits for clients that read slowly.

    `run` is called with what sends one piece.
    """

    def __init__(
        self,
        run: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]],
        *,
        streams: OpenStreams,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(headers={**HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._run = run
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's signature
        """Answers."""
        with self._streams.counted():
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            sending = asyncio.create_task(self._send(send), name="event stream")
            leaving = asyncio.create_task(_gone(receive), name="event stream's client")
            try:
                await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
            finally:
                leaving.cancel()
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    async def _send(self, send: Send) -> None:
        async def tell(chunk: bytes) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        await self._run(tell)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
