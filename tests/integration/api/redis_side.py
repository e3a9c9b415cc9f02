"""What a gateway says on Redis."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from redis.asyncio import Redis

from shared.messaging.doorbell import QUEUE
from shared.messaging.notices import CHANNEL_PREFIX, STOPS
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import BOUND_SECONDS, until


async def until_rung(valkey: Valkey, reply_id: str, *, times: int = 1) -> None:
    """Returns once the doorbell was rung for the reply so many times."""
    async with Redis.from_url(valkey.client_url) as redis:

        async def rung() -> bool:
            tasks = [orjson.loads(task) for task in await redis.lrange(QUEUE, 0, -1)]
            bodies = b"".join(base64.b64decode(task["body"]) for task in tasks)
            return bodies.count(reply_id.encode()) >= times

        await until(rung)


class Ear:
    """Hears what workers are told."""

    def __init__(self, redis: Redis) -> None:
        self._pubsub = redis.pubsub()

    async def listen(self) -> None:
        """From now on."""
        await self._pubsub.subscribe(CHANNEL_PREFIX + STOPS)
        await self._pubsub.get_message(timeout=BOUND_SECONDS)

    async def next(self) -> str:
        """The id of the next reply that is to stop."""
        message = await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=BOUND_SECONDS)
        assert message is not None, "no worker was told to stop anything"
        return str(message["data"].decode())

    async def close(self) -> None:
        """Hears no more."""
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py does not annotate it


@asynccontextmanager
async def ear(valkey: Valkey) -> AsyncIterator[Ear]:
    """One for the block."""
    async with Redis.from_url(valkey.client_url) as redis:
        listening = Ear(redis)
        await listening.listen()
        try:
            yield listening
        finally:
            await listening.close()
