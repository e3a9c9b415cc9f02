"""How much is under way in all, as the database knows it, for the metrics."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection

from api import metrics
from shared.clock import now_ms
from shared.database.access import Database
from shared.errors import StorageError
from shared.reply_status import LIVE, ReplyStatus
from shared.store import claims, replies, workers

# However many scrapers there are, and however eager.
READ_SECONDS = 3.0
# A scraper waits ten seconds at most; what the gateway knows by itself it gets in any case.
GIVE_UP_SECONDS = 2.0


class _Found(NamedTuple):
    live: Mapping[ReplyStatus, float]
    waited_seconds: float
    workers: float


_UNKNOWN = _Found(dict.fromkeys(LIVE, math.nan), math.nan, math.nan)


class Backlog:
    """Reads it when somebody asks for the metrics, every few seconds at most."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def measure(self) -> None:
        """Sets the gauges, unless that was just done. Where the database does not answer, they are not numbers."""
        async with self._reading:
            if time.monotonic() - self._read_at < READ_SECONDS:
                return
            try:
                async with asyncio.timeout(GIVE_UP_SECONDS):
                    found = await self._database.read(_read, now=now_ms())
            except (StorageError, TimeoutError):
                found = _UNKNOWN
            for status in LIVE:
                metrics.LIVE_REPLIES(status).set(found.live[status])
            metrics.OLDEST_DUE.set(found.waited_seconds)
            metrics.WORKERS.set(found.workers)
            self._read_at = time.monotonic()

    def forget(self) -> None:
        """The next one who asks gets what the database knows then."""
        self._read_at = float("-inf")


def _read(connection: Connection, *, now: int) -> _Found:
    due_since = claims.due_since(connection, now=now)
    return _Found(
        replies.count_live(connection),
        0.0 if due_since is None else (now - due_since) / 1000,
        workers.count(connection, "worker"),
    )
