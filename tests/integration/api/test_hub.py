"""The hub wakes waiters whatever happens to Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from api.live import hub as hub_module
from api.live.hub import Hub
from api.live.watch import Watch
from shared.clock import now_ms
from shared.database.access import Database
from shared.messaging.notices import channel
from shared.store import conversations
from tests.fixtures.chats import Chats
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.integration.api.gateway import still_waits

pytestmark = pytest.mark.anyio

LONG = 30.0
NO_REDIS = "redis://127.0.0.1:1/0"


def _let_redis_alone_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is there nobody looks at versions, and nobody begins to wait before it says that it listens."""
    monkeypatch.setattr(hub_module, "POLL_SECONDS_CONNECTED", LONG)
    monkeypatch.setattr(hub_module, "_ACKNOWLEDGE_SECONDS", LONG)


@asynccontextmanager
async def _running(database: Database, url: str) -> AsyncIterator[Hub]:
    hub = Hub(database, url)
    hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


async def _connected(hub: Hub) -> None:
    async def is_connected() -> bool:
        return hub.is_connected

    await until(is_connected)


async def _unconnected(hub: Hub) -> None:
    async def is_unconnected() -> bool:
        return not hub.is_connected

    await until(is_unconnected)


async def _changed(watch: Watch, *, seen: int | None = 1) -> bool:
    return await watch.changed(seen=seen, timeout=LONG)


async def _announce(valkey: Valkey, conversation_id: str) -> None:
    async with Redis.from_url(valkey.client_url) as redis:
        await redis.publish(channel(conversation_id), b"")


async def _change(database: Database, conversation_id: str) -> None:
    """A change that nobody announces."""
    await database.write(conversations.touch, conversation_id, now=now_ms())


async def test_an_announcement_wakes_who_watches_and_nobody_else(
    database: Database, shared_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_redis_alone_tell(monkeypatch)
    chats = Chats(database)
    one, other = await chats.start(), await chats.start()
    async with _running(database, shared_valkey.client_url) as hub:
        await _connected(hub)
        async with hub.watch(one) as first, hub.watch(one) as second, hub.watch(other) as apart:
            waiting = [asyncio.create_task(_changed(watch)) for watch in (first, second, apart)]
            await _announce(shared_valkey, one)
            assert await waiting[0]
            assert await waiting[1]
            assert await still_waits(waiting[2])
            hub.wake(other)
            assert await waiting[2]
        assert hub.watched == 0


async def test_announcements_reach_two_hubs(
    database: Database, shared_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_redis_alone_tell(monkeypatch)
    conversation_id = await Chats(database).start()
    url = shared_valkey.client_url
    async with _running(database, url) as one, _running(database, url) as two:
        await asyncio.gather(_connected(one), _connected(two))
        async with one.watch(conversation_id) as first, two.watch(conversation_id) as second:
            await _announce(shared_valkey, conversation_id)
            assert all(await asyncio.gather(_changed(first), _changed(second)))


async def test_the_last_to_leave_ends_the_subscription(
    database: Database, shared_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_redis_alone_tell(monkeypatch)
    conversation_id = await Chats(database).start()
    name = channel(conversation_id)

    async def subscribers() -> int:
        async with Redis.from_url(shared_valkey.client_url) as redis:
            ((_, count),) = await redis.pubsub_numsub(name)
            return int(count)

    async with _running(database, shared_valkey.client_url) as hub:
        await _connected(hub)
        async with hub.watch(conversation_id):
            async with hub.watch(conversation_id):
                assert await subscribers() == 1
            assert await subscribers() == 1

        async def none() -> bool:
            return await subscribers() == 0

        assert await until(none)
        async with hub.watch(conversation_id):
            assert await subscribers() == 1


async def test_a_lost_announcement_costs_only_a_moment(database: Database, shared_valkey: Valkey) -> None:
    conversation_id = await Chats(database).start()
    async with _running(database, shared_valkey.client_url) as hub:
        await _connected(hub)
        async with hub.watch(conversation_id) as watch:
            waiting = asyncio.create_task(_changed(watch))
            await _change(database, conversation_id)
            assert await waiting


async def test_without_redis_the_database_tells(database: Database) -> None:
    chats = Chats(database)
    changed, deleted, unchanged = [await chats.start() for _ in range(3)]
    async with _running(database, NO_REDIS) as hub:
        async with hub.watch(changed) as first, hub.watch(deleted) as second, hub.watch(unchanged) as third:
            waiting = [asyncio.create_task(_changed(watch)) for watch in (first, second, third)]
            await _change(database, changed)
            await chats.forget(deleted)
            assert await asyncio.gather(*waiting[:2]) == [True, True]
            waiting[2].cancel()
        assert not hub.is_connected


async def test_redis_may_die_and_come_back(database: Database, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    _let_redis_alone_tell(monkeypatch)
    chats = Chats(database)
    kept, late = await chats.start(), await chats.start()
    async with _running(database, valkey.client_url) as hub:
        await _connected(hub)
        async with hub.watch(kept) as early:
            valkey.kill()
            await _unconnected(hub)
            waiting = asyncio.create_task(_changed(early))
            await _change(database, kept)
            assert await waiting
            async with hub.watch(late) as second:
                valkey.start()
                await _connected(hub)
                early.begin_reading()
                for watch, conversation_id in ((early, kept), (second, late)):
                    waiting = asyncio.create_task(_changed(watch, seen=await chats.version(conversation_id)))
                    await _announce(valkey, conversation_id)
                    assert await waiting


async def test_what_changed_while_redis_was_away_is_noticed_when_it_is_back(
    database: Database, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_redis_alone_tell(monkeypatch)
    monkeypatch.setattr(hub_module, "POLL_SECONDS", LONG)
    conversation_id = await Chats(database).start()
    async with _running(database, valkey.client_url) as hub:
        await _connected(hub)
        async with hub.watch(conversation_id) as watch:
            valkey.kill()
            waiting = asyncio.create_task(_changed(watch))
            await _unconnected(hub)
            assert await still_waits(waiting)
            await _change(database, conversation_id)
            valkey.start()
            assert await waiting


async def test_a_frozen_redis_is_noticed_and_the_database_tells_meanwhile(database: Database, valkey: Valkey) -> None:
    conversation_id = await Chats(database).start()
    async with _running(database, valkey.client_url) as hub:
        await _connected(hub)
        with valkey.frozen():
            async with hub.watch(conversation_id) as watch:
                waiting = asyncio.create_task(_changed(watch))
                await _change(database, conversation_id)
                assert await waiting
            await _unconnected(hub)
        await _connected(hub)


async def test_a_wiped_redis_changes_nothing(
    database: Database, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_redis_alone_tell(monkeypatch)
    conversation_id = await Chats(database).start()
    async with _running(database, valkey.client_url) as hub:
        await _connected(hub)
        async with hub.watch(conversation_id) as watch:
            async with Redis.from_url(valkey.client_url) as redis:
                await redis.flushall()
            await _announce(valkey, conversation_id)
            assert await _changed(watch)


async def test_many_waiters_share_one_connection_and_all_are_woken(
    database: Database, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    _let_redis_alone_tell(monkeypatch)
    names = [f"conv_{number}" for number in range(2_000)]
    async with _running(database, valkey.client_url) as hub, Redis.from_url(valkey.client_url) as redis:
        await _connected(hub)

        async def wait_for(name: str) -> bool:
            async with hub.watch(name) as watch:
                return await _changed(watch, seen=None)

        waiting = [asyncio.create_task(wait_for(name)) for name in names]

        async def all_subscribed() -> bool:
            return len(await redis.pubsub_channels("asyncchat:*")) == len(names)

        await until(all_subscribed)
        clients = await redis.client_list()
        assert sum(int(client["sub"]) > 0 for client in clients) == 1
        for name in names:
            await redis.publish(channel(name), b"")
        assert all(await asyncio.gather(*waiting))


async def test_release_ends_all_waiting_and_lets_nobody_wait_any_more(
    database: Database, shared_valkey: Valkey
) -> None:
    conversation_id = await Chats(database).start()
    async with _running(database, shared_valkey.client_url) as hub:
        async with hub.watch(conversation_id) as watch:
            waiting = asyncio.create_task(_changed(watch))
            assert await still_waits(waiting)
            hub.release()
            assert not await waiting
        async with hub.watch(conversation_id) as watch:
            assert not await _changed(watch)


@pytest.mark.parametrize(("pause_seconds", "pinged"), [(LONG, 2), (0.01, 5)])
async def test_signs_of_life_are_asked_for_in_portions(
    database: Database, monkeypatch: pytest.MonkeyPatch, pause_seconds: float, pinged: int
) -> None:
    monkeypatch.setattr(hub_module, "PING_SECONDS", 0.01)
    monkeypatch.setattr(hub_module, "_PINGS_AT_ONCE", 2)
    monkeypatch.setattr(hub_module, "_PING_PAUSE_SECONDS", pause_seconds)
    async with _running(database, NO_REDIS) as hub, AsyncExitStack() as stack:
        listeners = [
            await stack.enter_async_context(hub.listen(f"conv_{number}", to_changes=False)) for number in range(5)
        ]

        async def are_pinged() -> bool:
            return sum(listener.should_ping for listener in listeners) >= pinged

        await until(are_pinged)
        assert sum(listener.should_ping for listener in listeners) == pinged
