"""The one subscription of a process: what is published on the channels it wants, as long as Redis is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Collection, Iterator
from typing import Any

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from shared.background import end, is_cancelled
from shared.observability import metrics

log = logging.getLogger(__name__)

# Connecting and each sending; reading has its own rhythm below.
_SOCKET_SECONDS = 2.0
# A silent connection is asked for a sign of life once a second; a frozen Redis is noticed after three.
_PING_SECONDS = 1.0
_UNANSWERED_PINGS = 2
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 2.0
_CHANNELS_A_COMMAND = 500
_READ_BYTES = 1 << 16


class Subscription:
    """Keeps the wanted channels subscribed, over every loss of Redis.

    `wanted()` are the names of the channels to hear, without their `prefix`; `on_notice` hears each message with its
    channel's name, `on_acknowledged` that Redis sends them from now on, and `on_turn` that Redis came, with all wanted
    ones subscribed, or went.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        wanted: Callable[[], Collection[str]],
        on_notice: Callable[[str, bytes], None],
        on_acknowledged: Callable[[str], None] = lambda _name: None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._pool = ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            # Reconnecting is done here, where it is known what was missed meanwhile.
            retry=Retry(NoBackoff(), 0),
        )
        self._prefix = prefix
        self._wanted = wanted
        self._on_notice = on_notice
        self._on_acknowledged = on_acknowledged
        self._on_turn = on_turn
        self._dirty: set[str] = set()
        self._has_dirty = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_open = False
        self._is_reachable = True
        self.is_connected = False

    def start(self) -> None:
        """Starts connecting."""
        metrics.SUBSCRIPTION_CONNECTED.set_function(lambda: self.is_connected)
        self._task = asyncio.create_task(self._run_forever(), name="subscription")

    async def stop(self) -> None:
        """Closes the connection."""
        if self._task is not None:
            await end(self._task)

    def refresh(self, name: str) -> None:
        """The channel has come to be wanted, or is so no more."""
        if self._is_open:
            self._dirty.add(name)
            self._has_dirty.set()

    async def _run_forever(self) -> None:
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                await self._run_connection()
            except (RedisError, OSError) as error:
                if self._is_reachable:
                    log.warning("Redis is away, so changes are looked up in the database: %s", error)
                pause = _FIRST_RETRY_SECONDS if self.is_connected else min(2 * pause, _LONGEST_RETRY_SECONDS)
            except Exception:
                log.exception("the subscription failed")
                pause = _LONGEST_RETRY_SECONDS
            self._is_open = self._is_reachable = self.is_connected = False
            self._on_turn()
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))

    async def _run_connection(self) -> None:
        """One connection, until it breaks."""
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py does not annotate it
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            self._is_open = True
            self._dirty = set(self._wanted())
            sender = asyncio.create_task(self._send_commands(connection), name="subscription commands")
            try:
                await self._listen(connection, sender)
            finally:
                await end(sender)
        finally:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    async def _send_commands(self, connection: AbstractConnection) -> None:
        await self._send_dirty(connection)
        # Redis answers in order: once this is answered, it has subscribed everything before.
        await connection.send_command("PING")
        while not is_cancelled():
            await self._has_dirty.wait()
            self._has_dirty.clear()
            await self._send_dirty(connection)

    async def _send_dirty(self, connection: AbstractConnection) -> None:
        dirty, self._dirty = self._dirty, set()
        wanted = self._wanted()
        for batch in self._batches([name for name in dirty if name in wanted]):
            await connection.send_command("SUBSCRIBE", *batch)
        for batch in self._batches([name for name in dirty if name not in wanted]):
            await connection.send_command("UNSUBSCRIBE", *batch)

    async def _listen(self, connection: AbstractConnection, sender: asyncio.Task[None]) -> None:
        """Takes what comes. By the parser itself, whole reads at once: the client library costs ten times as much."""
        stream = connection._reader  # noqa: SLF001  It has no public name.
        if stream is None:
            raise RedisConnectionError("it closed the connection")
        replies = hiredis.Reader()
        unanswered = 0
        while True:
            if sender.done():
                sender.result()
            try:
                async with asyncio.timeout(_PING_SECONDS):
                    data = await stream.read(_READ_BYTES)
            except TimeoutError:
                if unanswered == _UNANSWERED_PINGS:
                    raise RedisConnectionError("it gives no sign of life") from None
                unanswered += 1
                await connection.send_command("PING")
                continue
            if not data:
                raise RedisConnectionError("it closed the connection")
            unanswered = 0
            replies.feed(data)
            while (reply := replies.gets()) is not False:
                self._take(reply)

    def _take(self, reply: Any) -> None:
        """One reply: a list that begins with its kind, or to a PING without any subscription a mere PONG."""
        if isinstance(reply, Exception):
            raise RedisError(str(reply))
        kind = reply[0] if isinstance(reply, list) else reply
        if kind == b"message":
            self._on_notice(self._name_of(reply[1]), reply[2])
        elif kind == b"subscribe":
            self._on_acknowledged(self._name_of(reply[1]))
        elif kind in (b"pong", b"PONG") and not self.is_connected:
            self._begin_service()

    def _begin_service(self) -> None:
        if not self._is_reachable:
            log.warning("Redis is back")
        self._is_reachable = self.is_connected = True
        metrics.SUBSCRIPTION_CONNECTS.inc()
        self._on_turn()

    def _name_of(self, channel: bytes) -> str:
        return channel.decode().removeprefix(self._prefix)

    def _batches(self, names: list[str]) -> Iterator[list[str]]:
        for start in range(0, len(names), _CHANNELS_A_COMMAND):
            yield [self._prefix + name for name in names[start : start + _CHANNELS_A_COMMAND]]
