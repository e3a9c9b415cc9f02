"""A bound on how long a block hears nothing."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Silence:
    """Breaks its block off with TimeoutError when nothing is heard for `first_seconds`, and later for `then_seconds`.

    Hearing only notes the time down: to set a timer anew for each token would cost more than to read it.
    """

    def __init__(self, *, first_seconds: float, then_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._bound = asyncio.timeout(None)
        self._seconds = first_seconds
        self._then_seconds = then_seconds
        self._since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._has_heard = False

    async def __aenter__(self) -> Self:
        await self._bound.__aenter__()
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._bound.__aexit__(kind, error, trace)

    def hear(self) -> None:
        """Something was heard."""
        self._since = self._loop.time()
        if not self._has_heard:
            self._has_heard = True
            self._seconds = self._then_seconds
            self._look()

    def _look(self) -> None:
        """Ends the silence if it has lasted, else looks again when it may have."""
        if self._timer is not None:
            self._timer.cancel()
        until = self._since + self._seconds
        if self._loop.time() >= until:
            self._bound.reschedule(until)
        else:
            self._timer = self._loop.call_at(until, self._look)
