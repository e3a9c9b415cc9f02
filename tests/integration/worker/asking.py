"""Somebody who stops replies, and what a test waits for meanwhile."""

from __future__ import annotations

from collections.abc import Sized

from redis.asyncio import Redis

from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.messaging.notices import CHANNEL_PREFIX, STOPS
from shared.reply_status import OnBusy
from shared.store import candidates, stops, turns
from shared.store.turns import Ask
from tests.fixtures.chats import Chats
from tests.fixtures.demo_counts import client_disconnects, open_streams
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.waiting import until

NEVER = 3600.0


class Asking:
    """What a gateway does to stop replies: a write, and then a word to the workers."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis

    async def until_heard(self) -> None:
        """Returns when a worker listens."""

        async def listens() -> bool:
            ((_, listeners),) = await self._redis.pubsub_numsub(CHANNEL_PREFIX + STOPS)
            return bool(listeners)

        await until(listens)

    async def cancel(self, reply_id: str, *, tells: bool = True) -> None:
        """Stops one reply."""
        stopped = await self._database.write(stops.cancel, DEFAULT_TENANT, reply_id, now=now_ms())
        if tells:
            await self.tell(*stopped.running)

    async def interrupt(self, running: str, content: str, *, model: str = "any") -> str:
        """Asks something, in the conversation of a running reply, that will not wait for it. Returns the reply's id."""
        conversation_id = (await Chats(self._database).reply(running))["conversation_id"]
        asked = Ask(content, 1, model, model, 60_000, OnBusy.INTERRUPT)
        turn = await self._database.write(turns.ask, DEFAULT_TENANT, conversation_id, asked=asked, now=now_ms())
        await self.tell(running)
        return str(turn.replies[0]["id"])

    async def retry(self, reply_id: str) -> None:
        """Another try."""
        await self._database.write(candidates.retry, DEFAULT_TENANT, reply_id, deadline_ms=60_000, now=now_ms())

    async def tell(self, *reply_ids: str) -> None:
        """The word alone."""
        for reply_id in reply_ids:
            await self._redis.publish(CHANNEL_PREFIX + STOPS, reply_id)


async def first_words(chats: Chats, reply_id: str) -> str:
    """The text so far, once there is any; a model that stalls says no more."""

    async def text() -> str:
        return str((await chats.reply(reply_id))["content"])

    return await until(text)


async def until_called(demo: DemoProcess) -> None:
    async def is_called() -> bool:
        return await open_streams(demo) > 0

    await until(is_called)


async def until_left(demo: DemoProcess, before: int) -> None:
    """Returns when the model has noticed that one more client hung up."""

    async def has_left() -> bool:
        return await client_disconnects(demo) == before + 1 and await open_streams(demo) == 0

    await until(has_left)


async def counted(items: Sized, count: int) -> bool:
    return len(items) == count
