"""The data of events, out of bytes that come in any pieces."""

from __future__ import annotations

import pytest

from worker import event_stream
from worker.event_stream import EventDecoder, EventTooLong

STREAM = b": hello\nevent: message\ndata: one\n\ndata:two\ndata: lines\nid: 7\n\n\n\ndata:  kept \n\n"
SAID = [b"one", b"two\nlines", b" kept "]


def decode(*pieces: bytes) -> list[bytes]:
    """All data in these pieces."""
    decoder = EventDecoder()
    return [data for piece in pieces for data in decoder.feed(piece)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_found_however_their_lines_end_and_their_bytes_come(end: bytes, size: int) -> None:
    stream = STREAM.replace(b"\n", end)
    assert decode(*(stream[at : at + size] for at in range(0, len(stream), size))) == SAID


def test_an_event_that_the_end_cuts_off_is_dropped() -> None:
    assert decode(b"data: one\n\ndata: tw") == [b"one"]
    assert decode(b"data: one\n\ndata: two\n") == [b"one"]


def test_other_fields_and_empty_pieces_say_nothing() -> None:
    assert decode(b"", b"retry: 5\n", b"", b"datas: no\n\n") == []


@pytest.mark.parametrize("piece", [b"data: xxxx", b"data: xxxx\n"], ids=["one line", "many lines"])
def test_an_event_without_end_is_refused(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_EVENT_BYTES", 100)
    with pytest.raises(EventTooLong):
        decode(*[piece] * 20)


def test_many_short_events_are_no_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_EVENT_BYTES", 100)
    assert len(decode(*[b"data: one\n\n"] * 50)) == 50
