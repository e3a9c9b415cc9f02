"""The hub: whoever waits for a conversation on this gateway, or listens to it, hears here what happens in it.

Redis tells of changes within a millisecond, over one connection for all. The database tells too, by the versions of
conversations, now and then while Redis is there and often while it is not: so nothing but time depends on Redis.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from api import metrics
from api.live.listener import Listener
from api.live.watch import Watch
from shared.background import end, woken
from shared.database.access import Database
from shared.errors import StorageError
from shared.messaging import notices, reply_events
from shared.messaging.notices import CHANNEL_PREFIX
from shared.messaging.reply_events import Event
from shared.messaging.subscription import Subscription
from shared.store import conversations

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# With Redis there, only for a notice that was lost.
POLL_SECONDS_CONNECTED = 3.0
# Proxies and browsers give up connections that are silent for longer, half a minute mostly.
PING_SECONDS = 15.0
# Ten thousand at once would hold up whatever else happens for most of a second; so they take five.
_PINGS_AT_ONCE = 100
_PING_PAUSE_SECONDS = 0.05
# How long a waiter waits for Redis to say that it listens, before it relies on the database alone.
_ACKNOWLEDGE_SECONDS = 0.5
_IDS_A_QUERY = 500

Member = Watch | Listener
M = TypeVar("M", bound=Watch | Listener)


class _Topic:
    """Who hears one channel, and whether Redis sends it."""

    __slots__ = ("acknowledged", "conversation_id", "members")

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.members: set[Member] = set()
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Hub:
    """All waiters and listeners of a process. `redis_url` is as redis-py spells it."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self._database = database
        self._topics: dict[str, _Topic] = {}  # by their channel's name
        self._poll_now = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_released = False
        self._subscription = Subscription(
            redis_url,
            prefix=CHANNEL_PREFIX,
            wanted=self._topics.keys,
            on_notice=self._hear,
            on_acknowledged=self._acknowledge,
            on_turn=self._turn,
        )

    @property
    def is_connected(self) -> bool:
        """Whether Redis tells of changes now."""
        return self._subscription.is_connected

    @property
    def watched(self) -> int:
        """How many channels somebody hears."""
        return len(self._topics)

    def start(self) -> None:
        """Starts listening. Redis need not be there."""
        metrics.HUB_CHANNELS.set_function(lambda: self.watched)
        metrics.HUB_MEMBERS.set_function(lambda: sum(len(topic.members) for topic in list(self._topics.values())))
        self._subscription.start()
        self._tasks = [
            asyncio.create_task(self._poll_forever(), name="hub"),
            asyncio.create_task(self._ping_forever(), name="keep-alive"),
        ]

    async def stop(self) -> None:
        """Ends all waiting, then the connection."""
        self.release()
        for task in self._tasks:
            await end(task)
        await self._subscription.stop()

    def release(self) -> None:
        """Ends all waiting, now and from now on: the process is about to stop and wants to answer everybody first."""
        self._is_released = True
        for topic in self._topics.values():
            for member in topic.members:
                member.end()

    def watch(self, conversation_id: str) -> AbstractAsyncContextManager[Watch]:
        """`async with hub.watch(id) as watch:` what changes inside the block wakes the watch."""
        return _Joined(self, conversation_id, (_name(notices.channel(conversation_id)),), Watch())

    def listen(self, conversation_id: str, *, to_changes: bool) -> AbstractAsyncContextManager[Listener]:
        """What happens to the conversation's replies inside the block is heard.

        With `to_changes` it is also told at once of whatever else changes; without, within seconds.
        """
        channels = [reply_events.channel(conversation_id)]
        if to_changes:
            channels.append(notices.channel(conversation_id))
        return _Joined(self, conversation_id, tuple(map(_name, channels)), Listener())

    def wake(self, conversation_id: str) -> None:
        """The conversation changed."""
        self._hear(_name(notices.channel(conversation_id)), b"")

    async def join(self, name: str, conversation_id: str, member: Member) -> None:
        """From now on the member hears the channel of this name; what is said reaches it once this returns."""
        if self._is_released:
            member.end()
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = _Topic(conversation_id)
            self._subscription.refresh(name)
        topic.members.add(member)
        if self._subscription.is_connected and not topic.acknowledged.done():
            await asyncio.wait([topic.acknowledged], timeout=_ACKNOWLEDGE_SECONDS)

    def leave(self, name: str, member: Member) -> None:
        """The member hears the channel no more, if it did."""
        topic = self._topics.get(name)
        if topic is None:
            return
        topic.members.discard(member)
        if not topic.members:
            del self._topics[name]
            self._subscription.refresh(name)

    def _acknowledge(self, name: str) -> None:
        topic = self._topics.get(name)
        if topic is not None and not topic.acknowledged.done():
            topic.acknowledged.set_result(None)

    def _hear(self, name: str, payload: bytes) -> None:
        """Passes on what was said on a channel: an event of a reply, or only that something changed."""
        topic = self._topics.get(name)
        if topic is None:
            return
        event = Event.unpack(payload) if payload else None
        for member in topic.members:
            if event is not None and isinstance(member, Listener):
                member.hear(event)
            else:
                member.wake()

    def _turn(self) -> None:
        """Redis came or went. Whatever was said while nobody listened shows in the database."""
        self._poll_now.set()
        for listener in self._listeners():
            listener.wake()

    def _listeners(self) -> list[Listener]:
        return [member for topic in self._topics.values() for member in topic.members if isinstance(member, Listener)]

    async def _ping_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            next_at = loop.time() + PING_SECONDS
            await self._ping()
            await asyncio.sleep(next_at - loop.time())

    async def _ping(self) -> None:
        listeners = self._listeners()
        for start in range(0, len(listeners), _PINGS_AT_ONCE):
            for listener in listeners[start : start + _PINGS_AT_ONCE]:
                listener.ping()
            await asyncio.sleep(_PING_PAUSE_SECONDS)

    async def _poll_forever(self) -> None:
        while True:
            pause = POLL_SECONDS_CONNECTED if self.is_connected else POLL_SECONDS
            await woken(self._poll_now, within_seconds=pause)
            try:
                await self._poll()
            except StorageError as error:
                log.warning("the versions could not be looked up: %s", error)
            except Exception:
                log.exception("looking up the versions failed")

    async def _poll(self) -> None:
        """Wakes those who have seen another version than the database has. The gone have none."""
        topics = list(self._topics.values())
        for start in range(0, len(topics), _IDS_A_QUERY):
            batch = topics[start : start + _IDS_A_QUERY]
            versions = await self._database.read(conversations.versions, {topic.conversation_id for topic in batch})
            for topic in batch:
                version = versions.get(topic.conversation_id)
                for member in topic.members:
                    member.compare(version)


class _Joined(Generic[M]):
    """Inside the block the member hears the channels of these names. Written out, since ten thousand may be open."""

    __slots__ = ("_conversation_id", "_hub", "_member", "_names")

    def __init__(self, hub: Hub, conversation_id: str, names: Sequence[str], member: M) -> None:
        self._hub = hub
        self._conversation_id = conversation_id
        self._names = names
        self._member = member

    async def __aenter__(self) -> M:
        try:
            for name in self._names:
                await self._hub.join(name, self._conversation_id, self._member)
        except BaseException:
            self._leave()
            raise
        return self._member

    async def __aexit__(self, *_error: object) -> None:
        self._leave()

    def _leave(self) -> None:
        for name in self._names:
            self._hub.leave(name, self._member)


def _name(channel: str) -> str:
    return channel.removeprefix(CHANNEL_PREFIX)
