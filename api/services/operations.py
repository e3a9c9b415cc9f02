"""What an operator looks at: what is under way, and how it went in the last minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping

from api.services.minutes import MINUTE_MS, Minutes
from shared.clock import now_ms
from shared.database.access import Database
from shared.ids import first_reply_id
from shared.reply_status import ReplyStatus
from shared.store import operations, replies

# However many look at it, and however eager.
READ_SECONDS = 2.0
# Figures are of so many replies at most, which take about a tenth of a second.
MAX_ACCEPTED = 20_000
MAX_LISTED = 50


@dataclass(frozen=True, slots=True)
class Operations:
    """What was found. `waiting` counts what live replies wait for, `minutes` are the figures.

    `of_all` is how much is live in the whole installation, and `attempts` are those of the failed replies.
    """

    waiting: Mapping[str, int]
    of_all: Mapping[ReplyStatus, int]
    live: Sequence[RowMapping]
    failed: Sequence[RowMapping]
    attempts: Mapping[str, Sequence[RowMapping]]
    minutes: Minutes


class OperationsReader:
    """Reads it when somebody asks, for each tenant every few seconds at most."""

    def __init__(self, database: Database, *, deadline_ms: int) -> None:
        self._database = database
        # What ends now was usually accepted no longer ago than this.
        self._deadline_ms = deadline_ms
        self._readings: dict[tuple[str, int], tuple[float, asyncio.Task[Operations]]] = {}

    async def read(self, tenant_id: str, *, minutes: int) -> Operations:
        """What there is of the tenant, and the figures of so many minutes, the present one included.

        Raises:
            StorageError: the database does not answer.
        """
        now = time.monotonic()
        self._readings = {key: value for key, value in self._readings.items() if now - value[0] < READ_SECONDS}
        key = (tenant_id, minutes)
        if key not in self._readings:
            reading = self._database.read(_read, tenant_id, now=now_ms(), minutes=minutes, longest_ms=self._deadline_ms)
            self._readings[key] = now, asyncio.ensure_future(reading)
        # Others may wait for it, too.
        return await asyncio.shield(self._readings[key][1])

    def forget(self) -> None:
        """The next one who asks gets what the database knows then."""
        self._readings.clear()


def _read(connection: Connection, tenant_id: str, *, now: int, minutes: int, longest_ms: int) -> Operations:
    figures = Minutes(now, minutes)
    # An id is of its maker's clock, which may be some seconds behind.
    since = first_reply_id(figures.begins_at - longest_ms - MINUTE_MS)
    accepted = operations.accepted(connection, tenant_id, since=since, limit=MAX_ACCEPTED)
    if len(accepted) == MAX_ACCEPTED:
        since = accepted[-1].id
        figures.complete_from = max(figures.begins_at, accepted[-1].created_at)
    figures.add_replies(accepted)
    figures.add_tries(operations.tries(connection, tenant_id, since=since))
    failed = operations.failed(connection, tenant_id, since=since, limit=MAX_LISTED)
    return Operations(
        waiting=operations.count_live(connection, tenant_id, now=now),
        of_all=replies.count_live(connection),
        live=operations.live(connection, tenant_id, limit=MAX_LISTED),
        failed=failed,
        attempts=operations.attempts_of(connection, [row["id"] for row in failed]),
        minutes=figures,
    )


def waiting_for(found: Operations) -> dict[str, Any]:
    """How many replies of the tenant run, and what the others wait for."""
    counts = {name: found.waiting.get(name, 0) for name in ("worker", "turn", "retry")}
    return {"in_progress": found.waiting.get("nothing", 0), "queued": sum(counts.values()), "waiting_for": counts}
