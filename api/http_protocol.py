"""The server's HTTP protocol, with bounds that it does not have by itself.

How large a head may be, how long a head and a body may take to come and an answer to be read, how many connections
there may be, and how many requests wait on one.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.connection_parts import Flow, Queue, Signal
from api.edge import CUT
from api.head_first import HeadFirst
from api.json_body import BODY_SECONDS, IS_WHOLE
from api.request_head import without_upgrade

# The line and the headers together; most servers and proxies take 8 to 64 KiB.
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
# Longer than clients and proxies keep a connection that they may use again, or else one of them sends a request at the
# moment in which it is closed: httpx 5 s, nginx 60, Go's proxies up to 120, Google's load balancers 600. What is idle
# costs little, and makes room for others.
IDLE_SECONDS = 620
# Whoever reads the body gives up first, and says so in words.
SPARE_BODY_SECONDS = 5.0
# A client that takes nothing of its answer for so long is given up, a little later than by the streams themselves.
UNREAD_SECONDS = 75.0
# A line's colon, space and end.
_HEADER_BYTES = 4
# How long a client that is refused may go on sending before it is cut off: cut off at once, it would not see why.
LINGER_SECONDS = 1.0
# Nobody sends requests ahead but who means harm: one read would bring ten thousand.
MAX_AHEAD = 16

_BAD = 400
_TOO_LARGE = 431
_TOO_SLOW = 408
_TOO_MANY = 503


class _RefusedError(Exception):
    """Raised inside the parser, which ends the request."""


class BoundedHttp(HttpToolsProtocol):
    """Refuses heads that are too large with 431, and heads and bodies that do not come with 408.

    Where there is no room for a connection, the one makes room that has been without a request for longest.
    """

    most_connections: ClassVar[int] = sys.maxsize
    # Connections without a request, the longest first; of one server, see `bounded_http`.
    _idle: ClassVar[dict[BoundedHttp, None]] = {}

    # Beside the dict that the server's own attributes are in: with these it would have more than share their keys.
    __slots__ = (
        *("_again", "_answering", "_body_timer", "_head_bytes", "_head_timer", "_is_in_body", "_is_in_head"),
        *("_is_refused", "_is_too_large", "_left_at", "_reading_timer", "_told", "_untold_bytes"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pipeline = cast(Any, Queue())
        self.timeout_keep_alive = IDLE_SECONDS
        self._head_bytes = 0
        # What came since the parser last told of something in the head, and how often it did.
        self._untold_bytes = self._told = 0
        self._is_in_head = True
        self._is_in_body = self._is_too_large = self._is_refused = False
        # Of a request that asks for another protocol: its head without that wish, and where the parser left off.
        self._again = b""
        self._left_at = 0
        # The request that is being answered. The server's own `cycle` is the one that came last.
        self._answering: Any = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection, on which a request should come."""
        super().connection_made(transport)
        self.flow = cast(Any, Flow(transport))
        self._idle[self] = None
        if len(self.connections) > self.most_connections:
            longest = next(iter(self._idle))
            # Now, so that the next one finds another.
            del self._idle[longest]
            if longest is self:
                transport.write(
                    STATUS_LINE[_TOO_MANY] + b"retry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                )
                transport.close()
                return
            longest.transport.abort()
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._idle.pop(self, None)
        self._stop_head_timer()
        self._stop_body_timer()
        self.resume_writing()
        super().connection_lost(exc)
        if self._is_answering:
            # Others may have come after it, and the server tells only the last.
            self._leave()

    def data_received(self, data: bytes) -> None:
        """What came, which may be a part of a head or of a body."""
        if self._is_refused:
            return
        told = self._told
        super().data_received(data)
        while self._again:
            data, self._again = self._again + data[self._left_at :], b""
            super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_in_head and told == self._told:
            # Of a header that is not complete the parser tells nothing.
            self._untold_bytes += len(data)
            if self._head_bytes + self._untold_bytes > MAX_HEAD_BYTES:
                self._refuse(_TOO_LARGE)
        if self._is_in_body:
            if self._body_timer is None:
                self._expect_body(BODY_SECONDS + SPARE_BODY_SECONDS)
        elif self._head_timer is None and self._is_head_due:
            self._expect_head()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        cast(dict[str, Any], self.scope)[CUT] = self._break_off
        self._head_bytes = self._untold_bytes = 0
        self._told += 1
        self._is_in_head = True

    def on_url(self, url: bytes) -> None:
        """A piece of the request's address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header. One that comes after the body is counted and dropped: no proxy has looked at it."""
        self._count(len(name) + len(value) + _HEADER_BYTES)
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there.

        Where it asks for another protocol, as some clients always do, the parser would leave out the body. It is given
        the request once more, without that wish.
        """
        if self.parser.should_upgrade() and (method := self.parser.get_method()) != b"CONNECT":
            self._again = without_upgrade(method, self.url, self.parser.get_http_version(), self.headers)
            return
        self._is_in_head = False
        self._is_in_body = True
        self._stop_head_timer()
        super().on_headers_complete()
        # Before anybody has seen them: the task that answers begins later.
        self.cycle.message_event = cast(Any, Signal())
        self.cycle.transport = cast(Any, HeadFirst(self.transport, self.loop.call_soon))
        if len(self.pipeline) > MAX_AHEAD:
            raise _RefusedError

    def on_message_complete(self) -> None:
        """The body is there."""
        if self._again:
            return
        self._is_in_body = False
        cast(dict[str, Any], self.scope)[IS_WHOLE] = True
        self._stop_body_timer()
        super().on_message_complete()
        if not self._is_answering:
            # It was answered before, and is idle from now on.
            self.timeout_keep_alive_task = self.loop.call_later(IDLE_SECONDS, self.timeout_keep_alive_handler)

    def on_response_complete(self) -> None:
        """A request is answered; perhaps before all of it came."""
        self._answering = None
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()
        if self.transport.is_closing() or self._is_answering:
            return
        self._idle[self] = None
        if self._is_in_body:
            self._stop_body_timer()
            self._expect_body(LINGER_SECONDS)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        if self._reading_timer is None:
            self._reading_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """No other request has come."""
        super().timeout_keep_alive_handler()
        self._expect_reading()

    def send_400_response(self, msg: str) -> None:
        """The parser gave up."""
        if self._is_answering and not self._is_in_body:
            self._cut_off()  # That would be taken for the answer to what came before.
        elif self._is_too_large:
            self._refuse(_TOO_LARGE)
        elif self._is_answering:
            self._refuse(_BAD)
        else:
            super().send_400_response(msg)

    @property
    def _is_answering(self) -> bool:
        return self._answering is not None and not self._answering.response_complete

    @property
    def _is_head_due(self) -> bool:
        """Whether one has begun to come. Empty lines are the beginning of one: between requests they are no life."""
        is_waiting = self._is_answering or self.timeout_keep_alive_task is not None
        return not self._is_refused and (self._is_in_head or not is_waiting)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        self._idle.pop(self, None)
        self._unset_keepalive_if_required()
        super()._start_asgi_task(cycle, app)

    def _unsupported_upgrade_warning(self) -> None:
        """It is answered as if it had not asked for another protocol, which is no news to whoever runs this."""
        # The parser says so by an exception, which tells how much of the bytes it took.
        self._left_at = cast(Any, sys.exc_info()[1]).args[0]

    def _count(self, size: int) -> None:
        self._head_bytes += size
        self._untold_bytes = 0
        self._told += 1
        if self._head_bytes > MAX_HEAD_BYTES:
            self._is_too_large = True
            raise _RefusedError

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _expect_body(self, seconds: float) -> None:
        self._body_timer = self.loop.call_later(seconds, self._give_up)

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _expect_reading(self) -> None:
        """What is closed is closed in fact once the client has taken the rest."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def _give_up(self) -> None:
        self._head_timer = self._body_timer = None
        if self.transport.is_closing():
            return
        if self._is_in_body and not self._is_answering:
            self._cut_off()  # It has its answer.
        else:
            self._refuse(_TOO_SLOW)

    def _leave(self) -> None:
        """Tells the application that nobody hears it any more."""
        self._answering.disconnected = True
        self._answering.message_event.set()

    def _break_off(self) -> None:
        """Closes the connection in the middle of an answer, on purpose."""
        if self._is_answering:
            self._leave()
            self._answering.transport.flush()
        self.transport.close()

    def _cut_off(self) -> None:
        self._is_refused = True
        self.transport.abort()

    def _refuse(self, status: int) -> None:
        """Answers in place of the application, unless it has begun to."""
        if self._is_refused:
            return
        self._stop_head_timer()
        self._stop_body_timer()
        if self._is_answering and (self._answering.response_started or self._answering is not self.cycle):
            self._cut_off()
            return
        self._is_refused = True
        if self._is_answering:
            self._leave()
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def bounded_http(most_connections: int) -> type[BoundedHttp]:
    """The protocol for one server, with so many connections at once."""
    return type("BoundedHttp", (BoundedHttp,), {"__slots__": (), "most_connections": most_connections, "_idle": {}})
