"""The log of a reply's events on a real server: in order, fenced, bounded, and never in the way of listening."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.messaging import reply_events
from shared.messaging.notices import Notifier
from shared.messaging.redis_client import connect
from shared.messaging.reply_events import DEFAULT_BOUNDS, FIRST, Cursor, Event, EventKind, LogBounds
from shared.reply_status import ReplyStatus
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until

pytestmark = pytest.mark.anyio

CONVERSATION = "conv_1"
REPLY = "reply_1"
HEAR_SECONDS = 10.0
SHORT = LogBounds(events=100, seconds=600)


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    client = connect(valkey.client_url)
    yield client
    await client.aclose()


class Ear:
    """Hears what is published about one conversation's replies."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    async def next(self) -> Event:
        message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=HEAR_SECONDS)
        assert message is not None, "nothing was published"
        event = Event.unpack(message["data"])
        assert event is not None
        return event

    async def up_to(self, last: Event) -> list[Event]:
        """Everything published, up to this event."""
        heard: list[Event] = []
        while last not in heard:
            heard.append(await self.next())
        return heard


@asynccontextmanager
async def ear(redis: Redis) -> AsyncIterator[Ear]:
    pubsub = redis.pubsub()
    await pubsub.subscribe(reply_events.channel(CONVERSATION))
    assert await pubsub.get_message(timeout=HEAR_SECONDS) is not None
    try:
        yield Ear(pubsub)
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]  # the client's own omission


async def _append(redis: Redis, *events: Event, bounds: LogBounds = DEFAULT_BOUNDS) -> None:
    for event in events:
        command = reply_events.append(event, conversation_id=CONVERSATION, bounds=bounds)
        await redis.execute_command(*command)  # type: ignore[no-untyped-call]  # the client's own omission


def _deltas(token: int, seqs: range) -> list[Event]:
    return [reply_events.delta(REPLY, Cursor(token, seq), f"word {seq} ") for seq in seqs]


async def test_what_is_appended_is_read_and_heard(redis: Redis) -> None:
    events = [
        reply_events.started(REPLY, 2, 1),
        reply_events.delta(REPLY, Cursor(2, 1), 'Hello,\n"Ada" 😀'),
        reply_events.moved(REPLY, Cursor(2, 2), ReplyStatus.COMPLETED),
    ]
    async with ear(redis) as listening:
        await _append(redis, *events)
        assert await listening.up_to(events[-1]) == events
    assert await reply_events.read_after(redis, REPLY, FIRST) == events
    assert await reply_events.read_after(redis, REPLY, Cursor(2, 0)) == events[1:]
    assert await reply_events.read_after(redis, REPLY, Cursor(2, 2)) == []


async def test_what_has_no_larger_id_is_refused_and_nobody_hears_of_it(redis: Redis) -> None:
    """As when a worker wakes whose reply was taken over."""
    moved = reply_events.moved(REPLY, Cursor(3, 0), ReplyStatus.QUEUED)
    zombie = [*_deltas(2, range(3, 6)), reply_events.moved(REPLY, Cursor(2, 6), ReplyStatus.COMPLETED)]
    again = reply_events.started(REPLY, 4, 2)
    async with ear(redis) as listening:
        await _append(redis, *_deltas(2, range(1, 3)), moved)
        await _append(redis, *zombie, moved, again)
        heard = await listening.up_to(again)
    assert heard == [*_deltas(2, range(1, 3)), moved, again]
    assert await reply_events.read_after(redis, REPLY, FIRST) == heard


async def test_a_try_is_read_by_its_token(redis: Redis) -> None:
    await _append(redis, *_deltas(2, range(3)), *_deltas(3, range(1)), *_deltas(12, range(2)))
    assert await reply_events.read_token(redis, REPLY, 2) == _deltas(2, range(3))
    assert await reply_events.read_token(redis, REPLY, 12) == _deltas(12, range(2))
    assert await reply_events.read_token(redis, REPLY, 1) == []


async def test_a_log_is_bounded_and_loses_its_oldest(redis: Redis) -> None:
    for start in range(1, 1001, 100):
        await _append(redis, *_deltas(2, range(start, start + 100)), bounds=SHORT)
    kept = await reply_events.read_after(redis, REPLY, FIRST)
    # Redis cuts whole nodes of a stream, of a hundred events.
    assert SHORT.events <= len(kept) <= SHORT.events + 100
    assert [event.cursor.seq for event in kept] == list(range(1001 - len(kept), 1001))


async def test_a_long_log_is_read_in_several_readings(redis: Redis) -> None:
    await _append(redis, *_deltas(2, range(1, 2501)))
    seen, cursor = 0, FIRST
    while events := await reply_events.read_after(redis, REPLY, cursor):
        seen, cursor = seen + len(events), events[-1].cursor
        assert len(events) <= reply_events.READ_AT_ONCE
    assert (seen, cursor) == (2500, Cursor(2, 2500))


async def test_a_log_is_gone_some_time_after_its_last_event(redis: Redis) -> None:
    short = LogBounds(events=100, seconds=1)
    await _append(redis, *_deltas(2, range(2)), bounds=short)
    assert 0 < await redis.ttl(reply_events.log_key(REPLY)) <= 1

    async def is_gone() -> bool:
        return not await redis.exists(reply_events.log_key(REPLY))

    await until(is_gone)
    assert await reply_events.read_after(redis, REPLY, FIRST) == []


async def test_each_event_keeps_the_log_for_longer(redis: Redis) -> None:
    await _append(redis, *_deltas(2, range(1)), bounds=LogBounds(events=100, seconds=20))
    await _append(redis, *_deltas(2, range(1, 2)), bounds=LogBounds(events=100, seconds=500))
    assert await redis.ttl(reply_events.log_key(REPLY)) > 400


async def test_after_a_wipe_the_log_goes_on_where_the_reply_is(redis: Redis) -> None:
    await _append(redis, *_deltas(2, range(1, 4)))
    await redis.flushall()
    await _append(redis, *_deltas(2, range(4, 6)))
    assert await reply_events.read_after(redis, REPLY, FIRST) == _deltas(2, range(4, 6))


@pytest.fixture
async def full_redis(valkey: Valkey) -> AsyncIterator[Redis]:
    """A server that refuses everything that needs memory."""
    async with Redis.from_url(valkey.client_url) as redis:
        await redis.config_set("maxmemory", "1")
        await redis.config_set("maxmemory-policy", "noeviction")
        yield redis


async def test_where_there_is_no_room_for_the_log_listeners_still_hear(full_redis: Redis) -> None:
    async with ear(full_redis) as listening:
        await _append(full_redis, *_deltas(2, range(1, 4)))
        assert await listening.up_to(_deltas(2, range(3, 4))[0]) == _deltas(2, range(1, 4))
    assert await reply_events.read_after(full_redis, REPLY, FIRST) == []


@pytest.fixture
def notifier(redis: Redis) -> Notifier:
    return Notifier(redis, bounds=SHORT)


async def test_a_notifier_appends_in_the_order_it_was_told(redis: Redis, notifier: Notifier) -> None:
    events = [*_deltas(2, range(50)), reply_events.moved(REPLY, Cursor(2, 50), ReplyStatus.FAILED)]
    async with ear(redis) as listening:
        notifier.start()
        for event in events:
            notifier.tell_event(CONVERSATION, event)
        assert await listening.up_to(events[-1]) == events
    await notifier.stop()
    assert await reply_events.read_after(redis, REPLY, FIRST) == events


async def test_the_logs_of_a_deleted_conversation_are_erased(redis: Redis, notifier: Notifier) -> None:
    await _append(redis, *_deltas(2, range(3)))
    notifier.start()
    notifier.forget_logs([REPLY, "reply_unknown"])
    await notifier.stop()
    assert await redis.keys() == []


def test_every_kind_of_event_can_be_logged() -> None:
    assert {kind.encode() for kind in EventKind} == set(reply_events._KINDS)
