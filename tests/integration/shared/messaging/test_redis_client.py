"""Connections to Redis for short commands."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from shared.messaging import redis_client
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until

pytestmark = pytest.mark.anyio


async def test_a_client_reaches_the_server(shared_valkey: Valkey) -> None:
    redis = redis_client.connect(shared_valkey.client_url)
    assert await redis.echo("hello") == b"hello"
    await redis.aclose()


async def test_more_commands_than_connections_wait_for_one(valkey: Valkey) -> None:
    redis = redis_client.connect(valkey.client_url, connections=2)
    assert await asyncio.gather(*(redis.echo(str(number)) for number in range(50))) == [
        str(number).encode() for number in range(50)
    ]
    assert (await redis.info("clients"))["connected_clients"] == 2
    await redis.aclose()


async def test_a_frozen_server_is_given_up(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_client, "SOCKET_TIMEOUT_SECONDS", 0.05)
    redis = redis_client.connect(valkey.client_url)

    async def answers() -> bool:
        try:
            return bool(await redis.ping())
        except RedisTimeout:  # A busy machine may take longer, too.
            return False

    await until(answers)
    with valkey.frozen(), pytest.raises(RedisTimeout):
        await redis.ping()
    await until(answers)
    await redis.aclose()


async def test_a_dead_server_fails_at_once_and_is_found_again(valkey: Valkey) -> None:
    redis = redis_client.connect(valkey.client_url)
    await redis.ping()
    valkey.kill()
    with pytest.raises(RedisError):
        await redis.ping()
    valkey.start()
    assert await redis.ping()
    await redis.aclose()
