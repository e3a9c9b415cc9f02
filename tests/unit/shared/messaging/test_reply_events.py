"""Events of a reply: where they stand, and how they are written down."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging import reply_events
from shared.messaging.reply_events import FIRST, Cursor, Event, EventKind
from shared.reply_status import ReplyStatus

cursors = st.builds(Cursor, st.integers(0, 10**10 - 1), st.integers(0, 10**10 - 1))


@given(cursors)
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor) -> None:
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-2-3",
        "a-1",
        "1-b",
        " 1-2",
        "1-2\n",
        "1_0-2",
        "+1-2",
        "1-12345678901",
        "$",
        "*",
        "\u0661-\u0662",
    ],
)
def test_anything_else_is_no_cursor(text: str) -> None:
    assert Cursor.parse(text) is None


def test_cursors_are_ordered_by_number_and_not_by_letter() -> None:
    assert Cursor(2, 9) < Cursor(2, 10) < Cursor(10, 0)
    assert FIRST < Cursor(1, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Cursor(2, 4), Cursor(2, 5)),
        (FIRST, Cursor(2, 0)),
        # What the worker before said is void, however much of it is missing.
        (Cursor(2, 4), Cursor(3, 0)),
        (Cursor(2, 4), Cursor(7, 0)),
    ],
)
def test_nothing_is_missing_between(before: Cursor, after: Cursor) -> None:
    assert before.is_followed_by(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Cursor(2, 4), Cursor(2, 6)),
        (Cursor(2, 4), Cursor(2, 4)),
        (Cursor(2, 4), Cursor(2, 3)),
        (Cursor(2, 4), Cursor(3, 1)),
        (Cursor(3, 0), Cursor(2, 1)),
        (Cursor(3, 4), Cursor(2, 0)),
    ],
)
def test_something_is_missing_between_or_they_do_not_follow_at_all(before: Cursor, after: Cursor) -> None:
    assert not before.is_followed_by(after)


@given(st.sampled_from(EventKind), cursors, st.text())
def test_an_event_is_unpacked_as_it_was_packed(kind: EventKind, cursor: Cursor, text: str) -> None:
    data = orjson.dumps({"text": text}) if text.isprintable() else b""
    event = Event("reply_1", cursor, kind, data)
    assert Event.unpack(event.packed()) == event


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"reply_1",
        b"reply_1 2-1 reply.delta",
        b"reply_1 2 reply.delta {}",
        b"reply_1 2-1 reply.unheard {}",
        b"reply_1 2-1  {}",
        b"\xff\xfe \xff \xff \xff",
        b"reply_1  2-1 reply.delta {}",
    ],
)
def test_garbage_is_no_event(payload: bytes) -> None:
    assert Event.unpack(payload) is None


@given(st.binary())
def test_no_bytes_whatever_make_unpacking_fail(payload: bytes) -> None:
    Event.unpack(payload)


def test_a_piece_of_text_may_contain_anything() -> None:
    text = 'a line\nand "another"\r\n\u2028\u0000 😀 '
    event = reply_events.delta("reply_1", Cursor(2, 1), text)
    assert b"\n" not in event.data
    assert b"\r" not in event.data
    assert orjson.loads(event.data) == {"reply_id": "reply_1", "text": text}


def test_from_the_second_try_on_what_was_shown_before_is_void() -> None:
    assert reply_events.started("reply_1", 2, 1).kind is EventKind.STARTED
    again = reply_events.started("reply_1", 4, 2)
    assert (again.kind, again.cursor) == (EventKind.RESTARTED, Cursor(4, 0))
    assert orjson.loads(again.data) == {"reply_id": "reply_1", "attempt": 2}


@pytest.mark.parametrize("status", sorted(status for status in ReplyStatus if status.is_terminal))
def test_an_end_has_no_data_since_the_gateway_reads_the_reply(status: ReplyStatus) -> None:
    event = reply_events.moved("reply_1", Cursor(2, 5), status)
    assert event.kind.is_terminal
    assert event.data == b""


def test_what_is_queued_again_is_not_at_its_end() -> None:
    event = reply_events.moved("reply_1", Cursor(3, 0), ReplyStatus.QUEUED)
    assert (event.kind, event.kind.is_terminal) == (EventKind.QUEUED, False)
