"""Commands of whose answers only errors matter, to a real server that is full, frozen, killed and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import hiredis
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.messaging import command_connection, redis_client
from shared.messaging.command_connection import CommandConnection
from tests.fixtures.stream_server import stream_server
from tests.fixtures.valkey import Valkey

pytestmark = pytest.mark.anyio


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    redis = redis_client.connect(valkey.client_url)
    yield redis
    await redis.aclose()


@pytest.fixture
async def connection(redis: Redis) -> AsyncIterator[CommandConnection]:
    connection = CommandConnection(redis)
    yield connection
    await connection.close()


async def test_a_round_is_done_in_order(connection: CommandConnection, redis: Redis) -> None:
    await connection.run([("RPUSH", "line", number) for number in range(300)])
    assert await redis.lrange("line", 0, -1) == [b"%d" % number for number in range(300)]


async def test_one_is_sent_ahead_once_the_connection_is_open_and_answered_with_the_next_round(
    connection: CommandConnection, redis: Redis
) -> None:
    assert not connection.send(("RPUSH", "line", "too early"))
    await connection.run([("RPUSH", "line", "first")])
    assert connection.send(("RPUSH", "line", "ahead"))
    assert connection.is_owed
    await connection.run([])
    assert not connection.is_owed
    assert await redis.lrange("line", 0, -1) == [b"first", b"ahead"]


async def test_one_that_is_refused_is_told_of_and_the_others_are_done(
    connection: CommandConnection, redis: Redis
) -> None:
    await connection.run([("SET", "word", "a")])
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await connection.run([("RPUSH", "line", 1), ("RPUSH", "word", 2), ("RPUSH", "line", 3)])
    await connection.run([("RPUSH", "line", 4)])
    assert await redis.lrange("line", 0, -1) == [b"1", b"3", b"4"]


async def test_a_server_that_was_started_again_is_found_at_once(
    connection: CommandConnection, redis: Redis, valkey: Valkey
) -> None:
    await connection.run([("PING",)])
    valkey.kill()
    valkey.start()
    await connection.run([("RPUSH", "line", 1)])
    assert await redis.lrange("line", 0, -1) == [b"1"]


async def test_a_server_that_is_away_is_told_of(connection: CommandConnection, valkey: Valkey) -> None:
    await connection.run([("PING",)])
    valkey.kill()
    with pytest.raises((RedisError, OSError)):
        await connection.run([("PING",)])


async def test_a_frozen_server_is_given_up_and_what_it_answers_late_is_nobodys(
    connection: CommandConnection, valkey: Valkey, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.run([("PING",)])
    monkeypatch.setattr(command_connection, "SOCKET_TIMEOUT_SECONDS", 0.1)
    with valkey.frozen(), pytest.raises(RedisTimeoutError):
        await connection.run([("SET", "word", "a")])
    monkeypatch.undo()
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await connection.run([("SET", "word", "b"), ("RPUSH", "word", 1)])
    assert await redis.get("word") == b"b"


async def test_what_is_no_answer_at_all_is_as_good_as_a_broken_connection() -> None:
    """As from something between that goes down: the next connection serves."""
    rounds: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = hiredis.Reader()
        while data := await reader.read(1000):
            asked.feed(data)
            # Several may come in one piece, or one in several.
            while command := asked.gets():
                if command[0] == b"LPUSH":
                    rounds.append(b"HTTP/1.1 503 Service Unavailable\r\n\r\n" if not rounds else b":1\r\n")
                    writer.write(rounds[-1])
                else:
                    writer.write(b"+PONG\r\n" if command[0] == b"PING" else b"+OK\r\n")

    async with stream_server(serve, "127.0.0.1") as port:
        redis = redis_client.connect(f"redis://127.0.0.1:{port}?protocol=2")
        connection = CommandConnection(redis)
        await connection.run([("PING",)])
        await connection.run([("LPUSH", "line", 1)])
        assert len(rounds) == 2
        await connection.close()
        await redis.aclose()
