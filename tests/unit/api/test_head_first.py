"""An answer leaves in one piece, and never later than it would by itself."""

from __future__ import annotations

import asyncio
from typing import cast

from api.head_first import HeadFirst

HEAD, BODY, MORE = b"HTTP/1.1 200 OK\r\n\r\n", b"body", b"more"


class _Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False
        self.soon: list[object] = []

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written.append(data)

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def head_first(self) -> HeadFirst:
        return HeadFirst(cast(asyncio.Transport, self), self.soon.append)


def test_the_head_goes_out_with_the_first_of_the_body() -> None:
    wire = _Wire()
    answer = wire.head_first()
    answer.write(HEAD)
    answer.write(BODY)
    answer.write(MORE)
    assert wire.written == [HEAD + BODY, MORE]


def test_a_head_alone_goes_out_as_soon_as_the_loop_has_done_what_it_is_at() -> None:
    wire = _Wire()
    answer = wire.head_first()
    answer.write(HEAD)
    assert (wire.written, wire.soon) == ([], [answer.flush])
    answer.flush()
    answer.write(BODY)
    assert wire.written == [HEAD, BODY]


def test_what_asks_for_the_body_waits_for_nothing() -> None:
    wire = _Wire()
    wire.head_first().write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert wire.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_nothing_is_lost_with_the_connection_s_end_and_nothing_written_after_it() -> None:
    wire = _Wire()
    answer = wire.head_first()
    answer.write(HEAD)
    answer.close()
    assert (wire.written, wire.is_closed) == ([HEAD], True)
    gone = _Wire()
    late = gone.head_first()
    late.write(HEAD)
    gone.close()
    late.flush()
    assert gone.written == []


def test_all_else_is_the_transport_s_own() -> None:
    wire = _Wire()
    assert wire.head_first().is_closing() is False
