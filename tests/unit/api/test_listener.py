"""A listener hears everything in order, or knows that it has to look for itself."""

from __future__ import annotations

import asyncio

import pytest

from api.live.listener import MAX_BACKLOG_BYTES, Listener
from shared.messaging import reply_events
from shared.messaging.reply_events import Cursor, Event

pytestmark = pytest.mark.anyio

LONG = 30.0


def _event(seq: int, *, text: str = "word ") -> Event:
    return reply_events.delta("reply_1", Cursor(2, seq), text)


async def test_events_are_taken_once_and_in_order() -> None:
    listener = Listener()
    for seq in range(1, 4):
        listener.hear(_event(seq))
    assert await listener.wait(None)
    assert [event.cursor.seq for event in listener.take()] == [1, 2, 3]
    assert listener.take() == []
    assert not await listener.wait(0.01)


async def test_an_event_wakes_who_waits() -> None:
    listener = Listener()
    waiting = asyncio.create_task(listener.wait(LONG))
    await asyncio.sleep(0)
    listener.hear(_event(1))
    listener.hear(_event(2))
    assert await waiting
    assert len(listener.take()) == 2


async def test_too_much_for_a_slow_reader_is_given_up_and_looked_up_instead() -> None:
    listener = Listener()
    piece = "x" * 1000
    heard = 0
    while not listener.should_look:
        heard += 1
        listener.hear(_event(heard, text=piece))
        assert heard * len(piece) <= MAX_BACKLOG_BYTES, "the backlog has no bound"
    assert listener.take() == []
    listener.hear(_event(heard + 1))
    assert [event.cursor.seq for event in listener.take()] == [heard + 1]


async def test_many_events_without_text_count_too() -> None:
    listener = Listener()
    for seq in range(1, 10_000):
        listener.hear(_event(seq, text=""))
    assert listener.should_look
    assert len(listener.take()) < 2_000


async def test_what_was_taken_makes_room() -> None:
    listener = Listener()
    for seq in range(1, 2_000):
        listener.hear(_event(seq, text="x" * 1000))
        assert len(listener.take()) == 1
    assert not listener.should_look


async def test_a_wake_is_a_reason_to_look_until_somebody_does() -> None:
    listener = Listener()
    listener.wake()
    assert await listener.wait(None)
    assert listener.should_look
    listener.should_look = False
    assert not await listener.wait(0.01)


async def test_a_version_that_was_seen_is_no_reason_to_look() -> None:
    listener = Listener()
    listener.compare(3)
    assert listener.should_look
    listener.should_look = False
    listener.compare(3)
    assert not listener.should_look
    listener.compare(4)
    assert listener.should_look


async def test_a_deleted_conversation_is_a_reason_to_look() -> None:
    listener = Listener()
    listener.compare(3)
    listener.should_look = False
    listener.compare(None)
    assert listener.should_look


async def test_a_ping_wakes_without_being_a_reason_to_look() -> None:
    listener = Listener()
    waiting = asyncio.create_task(listener.wait(LONG))
    await asyncio.sleep(0)
    listener.ping()
    assert await waiting
    assert listener.should_ping
    assert not listener.should_look


async def test_an_ended_listener_waits_no_more() -> None:
    listener = Listener()
    waiting = asyncio.create_task(listener.wait(None))
    await asyncio.sleep(0)
    listener.end()
    assert await waiting
    assert listener.is_over
    assert await listener.wait(None)


async def test_who_gives_up_waiting_leaves_the_listener_as_it_was() -> None:
    listener = Listener()
    waiting = asyncio.create_task(listener.wait(LONG))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    listener.hear(_event(1))
    assert await listener.wait(None)
