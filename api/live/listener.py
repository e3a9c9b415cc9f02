"""One stream's ear: the events of a conversation as they are published, bounded, and when to look by itself."""

from __future__ import annotations

import asyncio

from shared.messaging.reply_events import Event

# What may wait for a slow reader. Beyond it the reader gets the state from the database instead of every step to it.
MAX_BACKLOG_BYTES = 256 * 1024
# What an event costs beside its text.
_EVENT_BYTES = 200


class Listener:
    """Collects events until they are taken. It costs a few hundred bytes, no thread and no connection."""

    __slots__ = ("_backlog", "_backlog_bytes", "_waiter", "is_over", "seen", "should_look", "should_ping")

    def __init__(self) -> None:
        self._backlog: list[Event] = []
        self._backlog_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self.seen: int | None = None  # the conversation's version, as far as it was looked at
        self.should_look = False
        self.should_ping = False
        self.is_over = False

    def hear(self, event: Event) -> None:
        """Takes one event, or gives up all that waits if that is too much."""
        self._backlog_bytes += len(event.data) + _EVENT_BYTES
        if self._backlog_bytes > MAX_BACKLOG_BYTES:
            self._backlog.clear()
            self._backlog_bytes = 0
            self.should_look = True
        else:
            self._backlog.append(event)
        self._wake()

    def wake(self) -> None:
        """Something may have changed that no event told of."""
        self.should_look = True
        self._wake()

    def compare(self, version: int | None) -> None:
        """Takes the version that the conversation has now."""
        if version != self.seen:
            self.seen = version
            self.wake()

    def ping(self) -> None:
        """It is time for a sign of life."""
        self.should_ping = True
        self._wake()

    def end(self) -> None:
        """There is no use in listening any more."""
        self.is_over = True
        self._wake()

    def take(self) -> list[Event]:
        """All that was heard since the last time."""
        taken, self._backlog = self._backlog, []
        self._backlog_bytes = 0
        return taken

    async def wait(self, timeout: float | None) -> bool:
        """Waits until there is anything to do. False if the time was up first."""
        if self._has_work():
            return True
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(timeout, _settle, waiter) if timeout is not None else None
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()
        return self._has_work()

    def _has_work(self) -> bool:
        return bool(self._backlog or self.should_look or self.should_ping or self.is_over)

    def _wake(self) -> None:
        if self._waiter is not None:
            _settle(self._waiter)


def _settle(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
