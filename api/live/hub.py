"""The hub: whoever waits for a conversation on this gateway is woken here when it changes.

Redis tells of changes within a millisecond, over one connection for all waiters. The database tells too, by its
versions, now and then while Redis is there and often while it is not: so nothing but time depends on Redis.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType

from api.live.watch import Watch
from shared.background import end
from shared.database.access import Database
from shared.errors import StorageError
from shared.notices import channel
from shared.store import conversations
from shared.subscription import Subscription

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
# With Redis there, only for a notice that was lost.
POLL_SECONDS_CONNECTED = 3.0
# How long a waiter waits for Redis to say that it listens, before it relies on the database alone.
_ACKNOWLEDGE_SECONDS = 0.5
_IDS_A_QUERY = 500


class _Topic:
    """Who watches one conversation, and whether Redis sends its announcements."""

    __slots__ = ("acknowledged", "watches")

    def __init__(self) -> None:
        self.watches: set[Watch] = set()
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        for watch in self.watches:
            watch.wake()


class Hub:
    """All waiters of a process. `redis_url` is as redis-py spells it."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self._database = database
        self._topics: dict[str, _Topic] = {}
        self._poll_now = asyncio.Event()
        self._poll_task: asyncio.Task[None] | None = None
        self._is_released = False
        self._subscription = Subscription(
            redis_url,
            prefix=channel(""),
            wanted=self._topics.keys,
            on_notice=lambda conversation_id, _payload: self.wake(conversation_id),
            on_acknowledged=self._acknowledge,
            # Whatever was announced while nobody listened shows in the versions.
            on_turn=self._poll_now.set,
        )

    @property
    def is_connected(self) -> bool:
        """Whether Redis tells of changes now."""
        return self._subscription.is_connected

    @property
    def watched(self) -> int:
        """How many conversations somebody waits for."""
        return len(self._topics)

    def start(self) -> None:
        """Starts listening. Redis need not be there."""
        self._subscription.start()
        self._poll_task = asyncio.create_task(self._poll_forever(), name="hub")

    async def stop(self) -> None:
        """Ends all waiting, then the connection."""
        self.release()
        if self._poll_task is not None:
            await end(self._poll_task)
        await self._subscription.stop()

    def release(self) -> None:
        """Ends all waiting, now and from now on: the process is about to stop and wants to answer everybody first."""
        self._is_released = True
        for topic in self._topics.values():
            for watch in topic.watches:
                watch.end()

    def watch(self, conversation_id: str) -> Watching:
        """`async with hub.watch(id) as watch:` what changes inside the block wakes the watch."""
        return Watching(self, conversation_id)

    def wake(self, conversation_id: str) -> None:
        """The conversation changed."""
        topic = self._topics.get(conversation_id)
        if topic is not None:
            topic.wake()

    async def join(self, conversation_id: str, watch: Watch) -> None:
        """Adds a watch, and returns when changes reach it. Used by `watch`."""
        if self._is_released:
            watch.end()
        topic = self._topics.get(conversation_id)
        if topic is None:
            topic = self._topics[conversation_id] = _Topic()
            self._subscription.refresh(conversation_id)
        topic.watches.add(watch)
        if self._subscription.is_connected and not topic.acknowledged.done():
            await asyncio.wait([topic.acknowledged], timeout=_ACKNOWLEDGE_SECONDS)

    def leave(self, conversation_id: str, watch: Watch) -> None:
        """Takes a watch out. Used by `watch`."""
        topic = self._topics[conversation_id]
        topic.watches.discard(watch)
        if not topic.watches:
            del self._topics[conversation_id]
            self._subscription.refresh(conversation_id)

    def _acknowledge(self, conversation_id: str) -> None:
        topic = self._topics.get(conversation_id)
        if topic is not None and not topic.acknowledged.done():
            topic.acknowledged.set_result(None)

    async def _poll_forever(self) -> None:
        while True:
            pause = POLL_SECONDS_CONNECTED if self.is_connected else POLL_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._poll_now.wait()
            except TimeoutError:
                pass
            self._poll_now.clear()
            try:
                await self._poll()
            except StorageError as error:
                log.warning("the versions could not be looked up: %s", error)
            except Exception:
                log.exception("looking up the versions failed")

    async def _poll(self) -> None:
        """Wakes those who wait having seen another version than the database has. The gone have none."""
        conversation_ids = list(self._topics)
        for start in range(0, len(conversation_ids), _IDS_A_QUERY):
            batch = conversation_ids[start : start + _IDS_A_QUERY]
            versions = await self._database.read(conversations.versions, batch)
            for conversation_id in batch:
                topic = self._topics.get(conversation_id)
                for watch in topic.watches if topic else ():
                    if watch.is_idle and watch.seen != versions.get(conversation_id):
                        watch.wake()


class Watching:
    """A watch for the time of a block."""

    __slots__ = ("_conversation_id", "_hub", "_watch")

    def __init__(self, hub: Hub, conversation_id: str) -> None:
        self._hub = hub
        self._conversation_id = conversation_id
        self._watch = Watch()

    async def __aenter__(self) -> Watch:
        try:
            await self._hub.join(self._conversation_id, self._watch)
        except asyncio.CancelledError:
            self._hub.leave(self._conversation_id, self._watch)
            raise
        return self._watch

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.leave(self._conversation_id, self._watch)
