"""Waiting for a condition with a bound, for clients that are no coroutines."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.fixtures.waiting import BOUND_SECONDS, LOOK_AGAIN_SECONDS


def wait_for(condition: Callable[[], object], *, seconds: float = BOUND_SECONDS) -> None:
    """Returns once the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"this did not come to hold within {seconds} s"
        time.sleep(LOOK_AGAIN_SECONDS)
