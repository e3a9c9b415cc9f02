"""Ending background tasks for certain.

Before Python 3.12 `asyncio.wait_for` swallows a cancellation that comes just as what it waits for is done
(python/cpython#86296), and redis-py uses it: a task may go on as if nothing had been asked of it.
"""

from __future__ import annotations

import asyncio

_AGAIN_SECONDS = 0.05


def is_cancelled() -> bool:
    """Whether somebody asked the running task to end, also where that was swallowed. For the head of a loop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end(task: asyncio.Task[None]) -> None:
    """Cancels the task until it has ended, however it does."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()  # Looked at, so that nobody complains that it was not.
