"""Waiting for a condition with a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

SECONDS = 20.0


async def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Returns once the condition holds; lets the event loop turn meanwhile."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come to hold"
        await asyncio.sleep(0.005)
