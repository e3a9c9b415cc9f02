"""Upkeep: takes out what has outlived its use, a little at a time, in every gateway.

Nobody waits for it, and it is harmless that several processes find the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from shared.clock import DAY_MS, now_ms
from shared.database.access import Database
from shared.eraser import Eraser
from shared.search_indexer import forget_removed
from shared.settings import Settings
from shared.store import idempotency, outlived, space, takeovers, usage, webhook_deliveries

# A write that takes out more would make others wait.
DELIVERIES_AT_ONCE = 200
# Between two helpings, so that what people wait for is written first.
PAUSE_SECONDS = 0.1
# An erasure that nobody has gone on with for so long was left behind by a process that is dead.
LEFT_BEHIND_MS = 60_000
# Writing the index of search anew takes no more than this share of the time, however much is erased.
INDEX_SHARE = 0.05
# SQLite itself empties its log only in a moment in which nobody reads.
LOG_BYTES = 16 << 20


class Upkeep:
    """What is to be done once a minute."""

    def __init__(self, database: Database, eraser: Eraser, settings: Settings) -> None:
        self._database = database
        self._eraser = eraser
        self._key_lifetime_ms = int(1000 * settings.idempotency_seconds)
        self._ephemeral_ms = int(1000 * settings.ephemeral_seconds)
        self._retention_ms = None if settings.retention_days is None else int(DAY_MS * settings.retention_days)
        self._deliveries_ms = int(1000 * settings.webhook_seconds)
        self._clear_index_from = 0.0

    async def run(self) -> None:
        """Counts usage, takes out what is too old, finishes what others began to erase, and gives back the room.

        Raises:
            Exception: what the first of those raised that failed. The others are done all the same.
        """
        failures: list[Exception] = []
        for duty in (
            self._count_usage,
            self._finish_left_behind,
            self._call_left_waiting,
            self._forget_keys,
            self._forget_conversations,
            self._forget_deliveries,
            self._clear_index,
            self._give_back_room,
        ):
            try:
                await duty()
            except Exception as error:  # noqa: BLE001  raised below
                failures.append(error)
        if failures:
            raise failures[0]

    async def _finish_left_behind(self) -> None:
        await self._eraser.finish_left_behind(before=now_ms() - LEFT_BEHIND_MS)

    async def _call_left_waiting(self) -> None:
        """Only while gateways or workers of an earlier version run beside newer ones is there anything to find."""
        for conversation_id in await self._database.read(takeovers.left_waiting):
            await self._database.write(takeovers.call_left_waiting, conversation_id)

    async def _forget_conversations(self) -> None:
        await self._forget(outlived.ephemeral, self._ephemeral_ms)
        if self._retention_ms is not None:
            await self._forget(outlived.of_any_kind, self._retention_ms)

    async def _forget_deliveries(self) -> None:
        before = now_ms() - self._deliveries_ms
        while found := await self._database.read(webhook_deliveries.old, before=before, limit=DELIVERIES_AT_ONCE):
            await self._database.write(webhook_deliveries.forget, found)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _forget(self, find: Callable[..., Sequence[str]], age_ms: int) -> None:
        before = now_ms() - age_ms
        while found := await self._database.read(find, before=before):
            await self._eraser.erase_unchanged(found, before=before)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _count_usage(self) -> None:
        """A helping that is not full is the last: what comes meanwhile is for the next time."""
        counted = usage.COUNT_AT_ONCE if await self._database.read(usage.has_uncounted) else 0
        while counted >= usage.COUNT_AT_ONCE:
            counted = await self._database.write(usage.count)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _forget_keys(self) -> None:
        while await self._database.read(idempotency.has_older, before=now_ms() - self._key_lifetime_ms):
            await self._database.write(idempotency.forget, before=now_ms() - self._key_lifetime_ms)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _clear_index(self) -> None:
        began = time.monotonic()
        if began >= self._clear_index_from:
            await forget_removed(self._database)
            ended = time.monotonic()
            self._clear_index_from = ended + (ended - began) / INDEX_SHARE

    async def _give_back_room(self) -> None:
        while await self._database.read(space.is_worth_giving_back):
            await self._database.write(space.give_back)
            await asyncio.sleep(PAUSE_SECONDS)
        if self._database.log_bytes() > LOG_BYTES:
            await self._database.checkpoint()
