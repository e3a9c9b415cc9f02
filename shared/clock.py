"""The time of day as the tables have it: whole milliseconds since 1970 in UTC.

Where several machines work on one database, its server's clock is the one that counts: each process follows it, so
that a machine whose own clock is wrong neither ends replies before their time nor leaves them lying.
"""

from __future__ import annotations

import logging
import time

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
# A smaller difference is within what measuring it over a network can tell.
TOLERATED_MS = 250

_offset_ms = 0


def now_ms() -> int:
    """Milliseconds since 1970-01-01T00:00Z."""
    return own_ms() + _offset_ms


def day_of(instant_ms: int) -> int:
    """The UTC day of an instant, in days since 1970."""
    return instant_ms // DAY_MS


def own_ms() -> int:
    """The same by this machine's own clock."""
    return time.time_ns() // 1_000_000


def follow(offset_ms: int) -> None:
    """Takes note of how far the clock that counts is ahead of this machine's."""
    global _offset_ms
    if abs(offset_ms - _offset_ms) > TOLERATED_MS:
        log.warning(
            "the database's clock is %+.1f seconds from this machine's; it is the one that counts", offset_ms / 1000
        )
        _offset_ms = offset_ms
