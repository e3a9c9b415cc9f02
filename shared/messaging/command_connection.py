"""A connection for commands of whose answers only errors matter, sent and read whole rounds at once.

The client library's own pipeline costs several times as much: among cold caches most of a millisecond, twice on the way
from an ask to the first token (decision 28).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.messaging.redis_client import SOCKET_TIMEOUT_SECONDS

Command = tuple[str | bytes | int, ...]

_READ_BYTES = 1 << 16


class CommandConnection:
    """One connection to the server of `redis`, made when it is needed. One round is run after the other."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._connection: AbstractConnection | None = None
        self._answers = hiredis.Reader()
        self._round = asyncio.Lock()
        self._ahead = 0  # sent, and not waited for

    @property
    def is_owed(self) -> bool:
        """Whether something was sent that is not answered."""
        return self._ahead > 0

    def send(self, command: Command) -> bool:
        """Sends one now, if that can be done without waiting. Its answer is read with those of the next `run`."""
        streams = self._streams()
        if self._round.locked() or streams is None:
            return False
        streams[1].write(_packed(command))
        self._ahead += 1
        return True

    async def run(self, commands: Sequence[Command]) -> None:
        """Sends them and waits until all are answered. On a connection that breaks then, once more on a new one.

        Raises:
            RedisError: the server is away, or refuses one of them, and does the others.
            OSError: the server is away.
        """
        async with self._round:
            was_open = self._streams() is not None
            try:
                await self._run(commands)
            except (RedisConnectionError, OSError):
                if not was_open:
                    raise
                await self._run(commands)

    async def _run(self, commands: Sequence[Command]) -> None:
        reader, writer = self._streams() or await self._connect()
        try:
            async with asyncio.timeout(SOCKET_TIMEOUT_SECONDS):
                if commands:
                    writer.write(b"".join(map(_packed, commands)))
                refused = await self._read(reader, len(commands) + self._ahead)
                self._ahead = 0
        except BaseException as error:
            # What is still to be answered would be taken for the answers of others.
            await self.close()
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError("it does not answer") from None
            raise
        if refused is not None:
            raise RedisError(str(refused))

    async def close(self) -> None:
        """Closes it. The next `run` opens another."""
        connection, self._connection = self._connection, None
        self._answers, self._ahead = hiredis.Reader(), 0
        if connection is not None:
            await connection.disconnect(nowait=True)

    def _streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Where to read and write, if it is open."""
        if self._connection is None:
            return None
        reader, writer = self._connection._reader, self._connection._writer  # noqa: SLF001  They have no public names.
        return (reader, writer) if reader and writer and not (reader.at_eof() or writer.is_closing()) else None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await self.close()
        connection: AbstractConnection = self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py does not annotate it
        await connection.connect()  # type: ignore[no-untyped-call]
        self._connection = connection
        if (streams := self._streams()) is None:
            raise RedisConnectionError("it closed the connection")
        return streams

    async def _read(self, reader: asyncio.StreamReader, count: int) -> hiredis.ReplyError | None:
        """Takes so many answers, and returns the first that is an error."""
        refused: hiredis.ReplyError | None = None
        while count:
            try:
                answer = self._answers.gets()
            except hiredis.ProtocolError as error:
                raise RedisConnectionError(f"what it says is no answer: {error}") from None
            if answer is False:
                data = await reader.read(_READ_BYTES)
                if not data:
                    raise RedisConnectionError("it closed the connection")
                self._answers.feed(data)
            elif not isinstance(answer, hiredis.PushNotification):  # which nobody asked for
                count -= 1
                if refused is None and isinstance(answer, hiredis.ReplyError):
                    refused = answer
        return refused


def _packed(command: Command) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # it is annotated for one word only
    return packed
