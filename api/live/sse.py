"""Server-sent events: how they are written, and the answer that carries them.

The format is https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import metrics
from api.entry.open_requests import OpenRequest

log = logging.getLogger(__name__)

# A client that takes nothing for so long is given up, and its place is free for another; it may resume where it was.
STALLED_SECONDS = 60.0
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


Tell = Callable[[bytes], Awaitable[None]]


class Source(Protocol):
    """What there is to send."""

    async def run(self, tell: Tell) -> None:
        """Tells all there is to tell, as it comes."""

    def end(self) -> None:
        """There is nobody to tell any more."""


class OpenStreams:
    """How many streams a gateway serves at the moment, and whether there is room for another."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0
        metrics.STREAMS_OPEN.set_function(lambda: self.count)

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

    Raises:
        ClientDisconnect: the client has stopped reading, or its key is no good any more.
    """

    def __init__(self, stream: Source, *, streams: OpenStreams, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers={**HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._stream = stream
        self._streams = streams
        # How it ends, for the metrics: all is told, or its time or the process is over.
        self._end = "served"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers."""
        if scope.get("state", {}).get("is_head"):
            await super().__call__(scope, receive, send)
            return

        async def tell(chunk: bytes) -> None:
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except TimeoutError:
                log.info("a stream's client has read nothing for %g seconds and is given up", STALLED_SECONDS)
                self._end = "slow_reader"
                raise ClientDisconnect from None

        with self._streams.counted():
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            leaving = asyncio.create_task(self._end_when_gone(receive), name="event stream's client")
            try:
                await self._stream.run(tell)
            except ClientDisconnect:
                raise
            except Exception:
                self._end = "error"
                raise
            finally:
                leaving.cancel()
                metrics.STREAMS_ENDED(self._end).inc()
            if _is_ended(scope):
                # Not as if everything had been told.
                raise ClientDisconnect
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _end_when_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end = "client_left"
        self._stream.end()


def _is_ended(scope: Scope) -> bool:
    request: OpenRequest | None = scope.get("state", {}).get("open_request")
    return request is not None and request.is_ended
