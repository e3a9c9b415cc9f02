"""Waiting for what can be seen without awaiting."""

from __future__ import annotations

from collections.abc import Callable

from tests.fixtures.waiting import until


async def eventually(condition: Callable[[], object]) -> None:
    """Returns once the condition holds; lets the event loop turn meanwhile."""

    async def look() -> object:
        return condition()

    await until(look)
