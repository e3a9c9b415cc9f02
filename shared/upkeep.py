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
from shared.store import idempotency

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
# Between two helpings, so that what people wait for is written first.
PAUSE_SECONDS = 0.1


class Upkeep:
    """Looks once a minute."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._key_lifetime_ms = int(1000 * settings.idempotency_seconds)
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
        """Forgets the idempotency keys that are too old."""
        while await self._database.read(idempotency.has_older, before=now_ms() - self._key_lifetime_ms):
            await self._database.write(idempotency.forget, before=now_ms() - self._key_lifetime_ms)
            await asyncio.sleep(PAUSE_SECONDS)
