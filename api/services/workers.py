"""The processes of the installation, as the database and this gateway's sweeper see them."""

from __future__ import annotations

from collections.abc import Sequence

from api.dependencies import Resources
from api.rendering import Row
from shared.liveness.heartbeat import BEAT_SECONDS
from shared.store import workers

# Three beats; a busy database may hold up one.
STANDS_STILL_SECONDS = 3 * BEAT_SECONDS


async def processes(resources: Resources) -> Sequence[Row]:
    """Every process: its row, how many replies it holds as `live_replies`, and how long its beat has stood still."""
    rows = await resources.database.read(workers.all_with_load)
    still = resources.sweeper.seconds_without_beat()
    return [
        {
            **row,
            "seconds_since_beat": still.get(row["id"], 0.0),
            "is_beating": still.get(row["id"], 0.0) < STANDS_STILL_SECONDS,
        }
        for row in rows
    ]
