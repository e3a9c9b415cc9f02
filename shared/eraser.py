"""Erasing for good: rows, event logs, and the word to whoever works on them or listens.

Rows go in helpings, so that nobody waits long to write. All that an end user said is erased under a receipt that is
written with each helping: whatever dies in the middle, whoever goes on with the receipt finishes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.clock import now_ms
from shared.crash_points import crash_point
from shared.database.access import Database
from shared.errors import NotFound, StorageError
from shared.messaging.notices import Notifier
from shared.messaging.reply_events import log_key
from shared.store import erasure_receipts, erasures
from shared.store.erasure_receipts import Logs
from shared.store.erasures import Erased
from shared.store.prompts import USUAL_TOKENS

log = logging.getLogger(__name__)

# Between two helpings, so that what people wait for is written first.
PAUSE_SECONDS = 0.05


class Eraser:
    """Erases conversations. `on_gone` hears of each; `log_seconds` is how long an event log lasts by itself.

    `prompt_tokens` is what a model is shown at most, by which the cost of what is under way is estimated.
    """

    def __init__(
        self,
        database: Database,
        redis: Redis,
        notifier: Notifier,
        *,
        log_seconds: float,
        prompt_tokens: int = USUAL_TOKENS,
        on_gone: Callable[[str], None] = lambda _conversation_id: None,
    ) -> None:
        self._database = database
        self._redis = redis
        self._notifier = notifier
        self._log_ms = int(1000 * log_seconds)
        self._prompt_tokens = prompt_tokens
        self._on_gone = on_gone

    async def erase_one(self, tenant_id: str, conversation_id: str) -> None:
        """Erases one conversation.

        Raises:
            NotFound: the tenant has no such one.
            StorageError: it was not erased, or nobody knows.
        """
        is_gone = await self._erase_some(tenant_id, conversation_id)
        with contextlib.suppress(NotFound):  # Somebody else has erased the rest of it.
            while not is_gone:
                await asyncio.sleep(PAUSE_SECONDS)
                is_gone = await self._erase_some(tenant_id, conversation_id)

    async def _erase_some(self, tenant_id: str, conversation_id: str) -> bool:
        """As much of the conversation as one write should erase; whether it is all."""
        erased = await self._database.write(
            erasures.erase_one, tenant_id, conversation_id, prompt_tokens=self._prompt_tokens
        )
        self._tell(erased)
        return bool(erased.conversation_ids)

    async def erase_unchanged(self, conversation_ids: Sequence[str], *, before: int) -> None:
        """Erases those of the conversations in which nothing has happened since.

        Raises:
            StorageError: they were not erased, or nobody knows.
        """
        self._tell(await self._database.write(erasures.erase, conversation_ids, unchanged_since=before))

    async def finish(self, erasure_id: str) -> None:
        """Erases what the receipt is for, to its end.

        Raises:
            StorageError: some of it is left. Going on later finishes it.
        """
        logs = Logs(erased=0, has_left=False, expire_at=0)
        # Who began and did not live to end it may have left some.
        has_left = await self._database.read(erasure_receipts.may_have_logs, erasure_id)
        while True:
            now = now_ms()
            logs = Logs(logs.erased, has_left, expire_at=now + self._log_ms)
            erased = await self._database.write(
                erasure_receipts.go_on, erasure_id, logs=logs, now=now, prompt_tokens=self._prompt_tokens
            )
            if erased is None:
                break
            crash_point("eraser.helping.committed")
            count = None if has_left else await self._erase_logs(erased.reply_ids)
            self._tell(erased)
            # A worker that still speaks may begin a log anew, and erases it itself when it hears.
            has_left = has_left or count is None or bool(erased.running)
            logs = Logs(count or 0, has_left, expire_at=0)
            await asyncio.sleep(PAUSE_SECONDS)
        log.info("erased all that an end user said", extra={"erasure_id": erasure_id})
        # Else it would be readable in there until it is written over.
        with contextlib.suppress(StorageError):
            await self._database.checkpoint()

    async def finish_left_behind(self, *, before: int) -> None:
        """Goes on with what others began and have not touched since.

        Raises:
            StorageError: some of it is left.
        """
        for erasure_id in await self._database.read(erasure_receipts.left_behind, before=before):
            await self.finish(erasure_id)

    async def _erase_logs(self, reply_ids: Sequence[str]) -> int | None:
        """How many event logs were erased; None if Redis is away, where they end by themselves."""
        if not reply_ids:
            return 0
        try:
            return int(await self._redis.unlink(*map(log_key, reply_ids)))
        except (RedisError, OSError) as error:
            log.warning("event logs are left to expire: %s", error)
            return None

    def _tell(self, erased: Erased) -> None:
        for reply_id in erased.running:
            self._notifier.tell_stop(reply_id)
        for conversation_id, event in erased.events:
            self._notifier.tell_event(conversation_id, event)
        self._notifier.forget_logs(erased.reply_ids)
        for conversation_id in erased.conversation_ids:
            self._on_gone(conversation_id)
            self._notifier.announce(conversation_id)
