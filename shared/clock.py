"""The time of day as the tables have it: whole milliseconds since 1970 in UTC."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Milliseconds since 1970-01-01T00:00Z."""
    return time.time_ns() // 1_000_000
