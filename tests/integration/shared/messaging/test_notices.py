"""Notices that a conversation changed, over a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from shared.messaging import notices, redis_client
from shared.messaging.notices import Notifier, channel
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import BOUND_SECONDS, eventually

pytestmark = pytest.mark.anyio


class Listener:
    """Hears every notice of a server."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._pubsub = redis.pubsub()

    async def start(self) -> None:
        await self._pubsub.psubscribe(channel("*"))
        confirmation = await self._pubsub.get_message(timeout=10)
        assert confirmation is not None

    async def hear(self, last: str) -> list[str]:
        """The conversations of all notices up to that of `last`."""
        heard: list[str] = []
        while last not in heard:
            message = await self._pubsub.get_message(timeout=10)
            assert message is not None, f"heard only {heard}"
            assert message["data"] == b""
            heard.append(message["channel"].decode().removeprefix("asyncchat:conversation:"))
        return heard

    async def stop(self) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # the client's own omission
        await self._redis.aclose()


@pytest.fixture
async def listener(valkey: Valkey) -> AsyncIterator[Listener]:
    listener = Listener(redis_client.connect(valkey.client_url))
    await listener.start()
    yield listener
    await listener.stop()


@pytest.fixture
async def notifier(valkey: Valkey) -> AsyncIterator[Notifier]:
    redis = redis_client.connect(valkey.client_url)
    notifier = Notifier(redis)
    notifier.start()
    yield notifier
    await notifier.stop()
    await redis.aclose()


async def test_a_notice_says_only_which_conversation_changed(notifier: Notifier, listener: Listener) -> None:
    notifier.announce("conv_1")
    assert await listener.hear("conv_1") == ["conv_1"]


async def test_notices_of_one_moment_are_told_once_each_and_in_order(notifier: Notifier, listener: Listener) -> None:
    for conversation_id in ("conv_1", "conv_2", "conv_1", "conv_1", "conv_3"):
        notifier.announce(conversation_id)
    assert await listener.hear("conv_3") == ["conv_1", "conv_2", "conv_3"]


async def test_a_later_change_is_told_again(notifier: Notifier, listener: Listener) -> None:
    for _ in range(3):
        notifier.announce("conv_1")
        assert await listener.hear("conv_1") == ["conv_1"]


async def test_stopping_tells_what_is_left(valkey: Valkey, listener: Listener) -> None:
    redis = redis_client.connect(valkey.client_url)
    notifier = Notifier(redis)
    notifier.announce("conv_1")
    await notifier.stop()
    assert await listener.hear("conv_1") == ["conv_1"]
    await redis.aclose()


@pytest.mark.parametrize("turns", range(12))
async def test_stopping_in_the_middle_of_publishing_tells_what_is_left_and_ends(
    turns: int, valkey: Valkey, listener: Listener
) -> None:
    """The client connects just then, and would swallow a cancellation."""
    redis = redis_client.connect(valkey.client_url)
    notifier = Notifier(redis)
    notifier.start()
    notifier.announce("conv_1")
    for _ in range(turns):
        await asyncio.sleep(0)
    notifier.announce("conv_2")
    async with asyncio.timeout(BOUND_SECONDS):
        await notifier.stop()
    assert await listener.hear("conv_2") == ["conv_1", "conv_2"]
    await redis.aclose()


async def test_redis_may_go_away_and_come_back(
    notifier: Notifier, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    notifier.announce("conv_1")
    await eventually(lambda: not notifier._pending)
    valkey.kill()
    for number in range(2, 5):
        notifier.announce(f"conv_{number}")
        await eventually(lambda: not notifier._pending)
    await eventually(lambda: not notifier._reachable)
    valkey.start()
    listener = Listener(redis_client.connect(valkey.client_url))
    await listener.start()
    notifier.announce("conv_5")
    assert await listener.hear("conv_5") == ["conv_5"]
    await eventually(lambda: notifier._reachable)
    assert [record.getMessage()[:13] for record in caplog.records] == ["Redis is away", "Redis is back"]
    await listener.stop()


async def test_what_cannot_be_told_keeps_nothing_after_it_from_being_told(
    notifier: Notifier, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    notifier.announce("half of a surrogate pair: \ud800")
    await eventually(lambda: bool(caplog.records))
    assert caplog.records[0].exc_info, "that is no failure of Redis, and is told with all that is known of it"
    notifier.announce("conv_1")
    assert await listener.hear("conv_1") == ["conv_1"]


async def test_announcing_waits_for_nobody_and_is_bounded(
    valkey: Valkey, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_MAX_PENDING", 5)
    with valkey.frozen():
        for number in range(10):
            notifier.announce(f"conv_{number}")
        assert [name for name, _ in notifier._pending] == [notices.channel(f"conv_{number}") for number in range(5)]
