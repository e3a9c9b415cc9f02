"""The time of day."""

from __future__ import annotations

import time

from shared.clock import now_ms


def test_now_is_whole_milliseconds_since_1970() -> None:
    before = int(time.time() * 1000)
    assert before <= now_ms() <= int(time.time() * 1000) + 1
