"""Admission: how many replies may be live at once, for one tenant and for all, so that no queue grows without end.

The counts are read once a second and what this gateway accepts is added in between, so that a limit is met to within
what all gateways accept in a second, and accepting costs no query of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

from shared.database.access import Database
from shared.errors import QueueFull, StorageError
from shared.settings import Settings
from shared.store import replies

log = logging.getLogger(__name__)

COUNT_SECONDS = 1.0


class Admission:
    """Lets in as much as there is room for."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._most_of_tenant = settings.max_live_of_tenant
        self._most = settings.max_live
        self._live: Counter[str] = Counter()
        self._meanwhile: Counter[str] = Counter()
        self._counted_at = float("-inf")
        self._counting = asyncio.Lock()

    async def refresh(self) -> None:
        """Counts again if that was long ago. Before anything is taken."""
        if time.monotonic() - self._counted_at > COUNT_SECONDS and not self._counting.locked():
            async with self._counting:
                await self._count()

    def take(self, tenant_id: str, count: int) -> None:
        """Takes `count` more replies of the tenant into account, in the transaction that stores them.

        Raises:
            QueueFull: there is no room for them.
        """
        own = self._live[tenant_id]
        if own + count > self._most_of_tenant:
            raise QueueFull(f"{own} replies are under way for you, and there may be {self._most_of_tenant} at once.")
        if self._live.total() + count > self._most:
            raise QueueFull("This server has as many replies under way as it may have.")
        self._live[tenant_id] += count
        self._meanwhile[tenant_id] += count

    def give_back(self, tenant_id: str, count: int) -> None:
        """They were not stored after all."""
        self._live[tenant_id] -= count
        self._meanwhile[tenant_id] -= count

    async def _count(self) -> None:
        self._meanwhile.clear()
        try:
            live = Counter(await self._database.read(replies.live_by_tenant))
        except StorageError as error:
            # Whether it can be stored is for the write itself to say.
            log.warning("what is under way could not be counted: %s", error)
        else:
            # What was let in during the reading may or may not be in it: rather twice than not at all, for a second.
            # A copy, which is made in one step: the writing thread lets in more while this one adds up.
            self._live = live + self._meanwhile.copy()
        self._counted_at = time.monotonic()
