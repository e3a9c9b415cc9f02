"""Notices over Redis: "something changed in this conversation", "somebody asked this reply to stop", "there is work".

They say nothing else; whoever hears one reads the database. A lost one costs its listeners a moment, since gateways
also compare versions from time to time, workers look at what they hold with every beat, and a bell follows a knock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.messaging import reply_events
from shared.messaging.command_connection import CommandConnection
from shared.messaging.reply_events import DEFAULT_BOUNDS, Event, LogBounds

log = logging.getLogger(__name__)

CHANNEL_PREFIX = "asyncchat:"
_CONVERSATION_PREFIX = f"{CHANNEL_PREFIX}conversation:"
# All workers listen to it. What is said there is the id of a reply; stops are rare.
STOPS = "stops"
_KNOCKS = "knocks:"
# With Redis away for long, older notices are of no use to anybody.
_MAX_PENDING = 10_000


def channel(conversation_id: str) -> str:
    """The Redis channel of a conversation."""
    return _CONVERSATION_PREFIX + conversation_id


def knocks(process_id: str) -> str:
    """The name, without the prefix, of the channel of one worker, on which it hears how many replies it is to take."""
    return _KNOCKS + process_id


class Notifier:
    """Publishes notices and the events of replies from one event loop, those of one moment in one round trip."""

    def __init__(self, redis: Redis, *, bounds: LogBounds = DEFAULT_BOUNDS) -> None:
        self._connection = CommandConnection(redis)
        self._bounds = bounds
        self._events: list[tuple[str, Event]] = []  # each with its conversation
        self._pending: dict[tuple[str, bytes], None] = {}  # channels and what to say there, in order
        self._forgotten: list[str] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reachable = True
        self._stopping = False

    def start(self) -> None:
        """Starts publishing."""
        self._task = asyncio.create_task(self._publish_forever(), name="notifier")

    async def stop(self) -> None:
        """Publishes what is left, within a moment, and ends."""
        # Not by cancelling: the Redis client swallows a cancellation that comes while it connects.
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._publish()
        await self._connection.close()

    def announce(self, conversation_id: str) -> None:
        """Tells every gateway that the conversation changed. Never blocks and never raises."""
        self._note(channel(conversation_id), b"")

    def tell_stop(self, reply_id: str) -> None:
        """Tells every worker that the reply was asked to stop, or is gone. Never blocks and never raises."""
        self._note(CHANNEL_PREFIX + STOPS, reply_id.encode())

    def knock(self, process_id: str, count: int) -> None:
        """Tells one worker, at once if possible, that so many replies are due. Never blocks and never raises."""
        name, said = CHANNEL_PREFIX + knocks(process_id), b"%d" % count
        if self._connection.send(("PUBLISH", name, said)):
            self._wake.set()  # for its answer
        else:
            self._note(name, said)

    def tell_event(self, conversation_id: str, event: Event) -> None:
        """Logs and publishes what happened to a reply. Never blocks and never raises."""
        if len(self._events) < _MAX_PENDING:
            self._events.append((conversation_id, event))
            self._wake.set()

    def forget_logs(self, reply_ids: Sequence[str]) -> None:
        """Erases the events of these replies, whose conversation was deleted. Never blocks and never raises."""
        self._forgotten.extend(reply_ids)
        self._wake.set()

    def _note(self, name: str, payload: bytes) -> None:
        if len(self._pending) < _MAX_PENDING:
            self._pending[name, payload] = None
            self._wake.set()

    async def _publish_forever(self) -> None:
        while not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            await self._publish()

    async def _publish(self) -> None:
        pending, self._pending = self._pending, {}
        events, self._events = self._events, []
        forgotten, self._forgotten = self._forgotten, []
        commands = [
            *(reply_events.append(event, conversation_id=place, bounds=self._bounds) for place, event in events),
            *(("UNLINK", reply_events.log_key(reply_id)) for reply_id in forgotten),
            *(("PUBLISH", name, said) for name, said in pending),
        ]
        if not commands and not self._connection.is_owed:
            return
        try:
            await self._connection.run(commands)
        except Exception as error:  # Without this task nobody would hear of anything any more.
            expected = isinstance(error, RedisError | OSError)
            if self._reachable or not expected:
                log.warning(
                    "Redis is away, so waiting clients hear of changes from the database: %s",
                    error,
                    exc_info=not expected,
                )
            self._reachable = False
            return
        if not self._reachable:
            log.warning("Redis is back")
        self._reachable = True
