"""One waiter's view of one conversation."""

from __future__ import annotations

import asyncio


class Watch:
    """Wakes when the conversation may have changed. It costs a few hundred bytes, no thread and no connection."""

    __slots__ = ("_ended", "_waiter", "_woken", "seen")

    def __init__(self) -> None:
        self.seen: int | None = None
        self._waiter: asyncio.Future[bool] | None = None
        self._woken = False
        self._ended = False

    @property
    def is_idle(self) -> bool:
        """Whether it waits, with what it has `seen` up to date, rather than just reading."""
        return self._waiter is not None

    @property
    def is_over(self) -> bool:
        """Whether there is no use in waiting any more."""
        return self._ended

    def begin_reading(self) -> None:
        """What changed before this is in what is read after it."""
        self._woken = False

    async def changed(self, *, seen: int | None, timeout: float) -> bool:
        """Waits for a change after `begin_reading`, having seen that version.

        Returns:
            False when the time is up or the waiting is over.
        """
        if self._ended:
            return False
        if self._woken:
            return True
        self.seen = seen
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(timeout, self._settle, False)
        try:
            return await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def wake(self) -> None:
        """Something changed."""
        self._woken = True
        self._settle(True)

    def compare(self, version: int | None) -> None:
        """Takes the version that the conversation has now."""
        if self.is_idle and self.seen != version:
            self.wake()

    def end(self) -> None:
        """There is no use in waiting any more."""
        self._ended = True
        self._settle(False)

    def _settle(self, result: bool) -> None:  # noqa: FBT001  call_later passes only positional arguments.
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(result)
