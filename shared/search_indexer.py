"""Indexing beside everything else: what was said is put into the index a moment later, in every gateway.

Searching looks at what is not indexed yet too, so nobody waits for this, and several at once share the work.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time

from shared.background import end, is_cancelled
from shared.database.access import Database
from shared.errors import StorageError
from shared.store import search_index

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
# After a failure, so that a database that is away is not asked, and the log not filled, every second.
AFTER_FAILURE_SECONDS = 15.0


class SearchIndexer:
    """Looks once a second for what is to be indexed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts looking."""
        self._task = asyncio.create_task(self._run_forever(), name="search indexer")

    async def stop(self) -> None:
        """Stops."""
        if self._task is not None:
            await end(self._task)

    async def _run_forever(self) -> None:
        pause = EVERY_SECONDS
        while not is_cancelled():
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = AFTER_FAILURE_SECONDS
            try:
                await self.run()
                pause = EVERY_SECONDS
            except StorageError as error:
                log.warning("indexing was broken off: %s", error)
            except Exception:
                log.exception("indexing failed")

    async def run(self) -> None:
        """Indexes all there is, a little at a time, and leaves at least as much time to others as it takes."""
        if not await self._database.read(search_index.has_pending):
            return
        began_at = time.monotonic()
        while await self._database.write(search_index.index_some):
            await asyncio.sleep(time.monotonic() - began_at)
            began_at = time.monotonic()
