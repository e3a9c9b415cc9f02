"""Upkeep: takes out what has outlived its use, a little at a time, in every gateway.

Nobody waits for it, and it is harmless that several processes find the same.
"""

from __future__ import annotations

import asyncio
import logging
import random

from shared.background import end, is_cancelled
from shared.clock import now_ms
from shared.database.access import Database
from shared.errors import StorageError
from shared.settings import Settings
from shared.store import conversations, idempotency

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
# A write that takes out more would make others wait.
FORGET_AT_ONCE = 50
# Between two helpings, so that what people wait for is written first.
PAUSE_SECONDS = 0.1


class Upkeep:
    """Looks once a minute."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._key_lifetime_ms = int(1000 * settings.idempotency_seconds)
        self._ephemeral_ms = int(1000 * settings.ephemeral_seconds)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts looking."""
        self._task = asyncio.create_task(self._run_forever(), name="upkeep")

    async def stop(self) -> None:
        """Stops."""
        if self._task is not None:
            await end(self._task)

    async def _run_forever(self) -> None:
        while not is_cancelled():
            await asyncio.sleep(EVERY_SECONDS * random.uniform(0.8, 1.2))
            try:
                await self.run()
            except StorageError as error:
                log.warning("upkeep was broken off: %s", error)
            except Exception:
                log.exception("upkeep failed")

    async def run(self) -> None:
        """Forgets the idempotency keys that are too old, and conversations that were to be kept for a moment only."""
        await self._forget_keys()
        await self._forget_conversations()

    async def _forget_conversations(self) -> None:
        before = now_ms() - self._ephemeral_ms
        while found := await self._database.read(conversations.old_ephemeral, before=before, limit=FORGET_AT_ONCE):
            await self._database.write(conversations.forget, found, before=before)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _forget_keys(self) -> None:
        while await self._database.read(idempotency.has_older, before=now_ms() - self._key_lifetime_ms):
            await self._database.write(idempotency.forget, before=now_ms() - self._key_lifetime_ms)
            await asyncio.sleep(PAUSE_SECONDS)
