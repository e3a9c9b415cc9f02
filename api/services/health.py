"""Whether this gateway can do its work, and what it does without."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from redis.exceptions import RedisError

from api.dependencies import Resources
from shared.database.engine import SqliteMode
from shared.errors import StorageError
from shared.store import workers

# Whoever asks wants to know now; a part that takes longer counts as down.
CHECK_SECONDS = 1.0
# Four beats.
WRITES_FAIL_SECONDS = 6.0


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found. `live_workers` is None when the database does not say."""

    has_database: bool
    has_redis: bool
    has_publisher: bool
    sqlite: SqliteMode | None
    seconds_since_sweep: float
    live_workers: int | None

    @property
    def status(self) -> str:
        """Without Redis or the publisher everything still works, only later."""
        if not self.has_database:
            return "unready"
        return "ready" if self.has_redis and self.has_publisher else "degraded"


async def readiness(resources: Resources) -> Readiness:
    """Looks at every part at once."""
    live_workers, has_redis = await asyncio.gather(_count_workers(resources), _ping(resources))
    return Readiness(
        # Sweeps follow beats that were stored: without one for so long, nothing else can be written either.
        has_database=live_workers is not None and resources.sweeper.seconds_since_sweep() < WRITES_FAIL_SECONDS,
        has_redis=has_redis,
        has_publisher=resources.doorbell.is_alive,
        sqlite=resources.database.sqlite,
        seconds_since_sweep=resources.sweeper.seconds_since_sweep(),
        live_workers=live_workers,
    )


async def _count_workers(resources: Resources) -> int | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await resources.database.read(workers.count, "worker")
    except (StorageError, TimeoutError):
        return None


async def _ping(resources: Resources) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return bool(await resources.redis.ping())
    except (RedisError, OSError):
        return False
