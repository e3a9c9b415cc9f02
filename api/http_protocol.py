"""The server's HTTP protocol, with bounds that it does not have by itself: how large a request's head may be, and how
long it may take to come.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

# The line and the headers together; most servers and proxies take 8 to 64 KiB.
MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
# A line's colon, space and end.
_HEADER_BYTES = 4
# How long a client that is refused may go on sending before it is cut off: cut off at once, it would not see why.
LINGER_SECONDS = 1.0

_TOO_LARGE = 431
_TOO_SLOW = 408


class _HeadTooLargeError(Exception):
    """Raised inside the parser, which ends the request."""


class BoundedHttp(HttpToolsProtocol):
    """Refuses heads that are too large with 431, and those that do not come with 408."""

    _head_bytes = 0
    # What came since the parser last told of something in the head, and how often it did.
    _untold_bytes = 0
    _told = 0
    _is_in_head = True
    _is_too_large = False
    _is_refused = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection, on which a request should come."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """What came, which may be a part of a head."""
        if self._is_refused:
            return
        told = self._told
        super().data_received(data)
        if self._is_in_head and told == self._told and not self.transport.is_closing():
            # Of a header that is not complete the parser tells nothing.
            self._untold_bytes += len(data)
            if self._head_bytes + self._untold_bytes > MAX_HEAD_BYTES:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head_bytes = self._untold_bytes = 0
        self._told += 1
        self._is_in_head = True
        if self._head_timer is None:
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        """A piece of the request's address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value) + _HEADER_BYTES)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser gave up."""
        if self._is_too_large:
            self._refuse(_TOO_LARGE)
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        self._untold_bytes = 0
        self._told += 1
        if self._head_bytes > MAX_HEAD_BYTES:
            self._is_too_large = True
            raise _HeadTooLargeError

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(_TOO_SLOW)

    def _refuse(self, status: int) -> None:
        if self._is_refused:
            return
        self._is_refused = True
        self._stop_timer()
        self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
