"""After a sweep: workers are rung for, whoever waits or listens is told, and what the dead had said is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.background import end
from shared.database.access import Database
from shared.errors import StorageError
from shared.messaging import reply_events
from shared.messaging.notices import Notifier
from shared.messaging.reply_events import Cursor, EventKind
from shared.reply_status import ReplyStatus
from shared.store import attempts, prompts
from shared.store.takeovers import Moved

log = logging.getLogger(__name__)


class Aftermath:
    """What a process does about the replies that its sweeper moved. `on_queued` brings a worker for those."""

    def __init__(
        self, database: Database, redis: Redis, notifier: Notifier, *, on_queued: Callable[[Sequence[str]], None]
    ) -> None:
        self._database = database
        self._redis = redis
        self._notifier = notifier
        self._on_queued = on_queued
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, moved: Sequence[Moved]) -> None:
        """Hears what was moved, after the commit."""
        self._on_queued([each.reply_id for each in moved if each.status is ReplyStatus.QUEUED])
        for each in moved:
            # Its id is larger than any that the worker before could still write: from here on Redis refuses those.
            event = reply_events.moved(each.reply_id, Cursor(each.token, 0), each.status)
            self._notifier.tell_event(each.conversation_id, event)
            self._notifier.announce(each.conversation_id)
            if each.lost is not None:
                task = asyncio.create_task(self._keep(each, each.lost))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Gives up what is under way."""
        for task in list(self._tasks):
            await end(task)

    async def _keep(self, moved: Moved, attempt: int) -> None:
        """Keeps what had gone out of a try whose worker is dead, so that its stream can be told again as it was."""
        try:
            events = await reply_events.read_token(self._redis, moved.reply_id, moved.token - 1)
            pieces = [orjson.loads(event.data)["text"] for event in events if event.kind is EventKind.DELTA]
            if pieces:
                lengths = [len(piece) for piece in pieces]
                text = "".join(pieces)
                await self._database.write(
                    attempts.keep_what_was_said,
                    moved.reply_id,
                    attempt,
                    lengths=lengths,
                    text=text,
                    tokens=prompts.estimate_tokens(text),
                )
        except (RedisError, OSError, StorageError) as error:
            log.warning("what a lost attempt had said is not kept: %s", error, extra={"reply_id": moved.reply_id})
