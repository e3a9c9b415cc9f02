"""Background tasks: work that comes round again and again, what wakes it early, and its end for certain.

Before Python 3.12 `asyncio.wait_for` swallows a cancellation that comes just as what it waits for is done
(python/cpython#86296), and redis-py uses it: a task may go on as if nothing had been asked of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

from shared.errors import StorageError

log = logging.getLogger(__name__)

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


async def woken(event: asyncio.Event, *, within_seconds: float) -> None:
    """Waits for the event, or for so long, and clears it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_seconds):
            await event.wait()
    event.clear()


class Rounds:
    """Does `work` every so many seconds until it is stopped, a little earlier or later, so that processes spread out.

    `name` is what the log calls it. After a failure it may wait for longer.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        *,
        every_seconds: float,
        after_failure_seconds: float | None = None,
    ) -> None:
        self._name = name
        self._work = work
        self._every_seconds = every_seconds
        self._after_failure_seconds = after_failure_seconds or every_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts; the first round is one pause away."""
        self._task = asyncio.create_task(self._go_round(), name=self._name)

    async def stop(self) -> None:
        """Stops, also in the middle of a round."""
        if self._task is not None:
            await end(self._task)

    async def _go_round(self) -> None:
        pause = self._every_seconds
        while not is_cancelled():
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = self._after_failure_seconds
            try:
                await self._work()
                pause = self._every_seconds
            except StorageError as error:
                log.warning("%s was broken off: %s", self._name, error)
            except Exception:
                log.exception("%s failed", self._name)
