"""Parts of a connection, as small as they can be, since a server may hold ten thousand: what the server's own have in
each of them takes half a kilobyte, for queues that hardly ever hold anything.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Signal:
    """What `asyncio.Event` is, with a list of those who wait only while there are any."""

    __slots__ = ("_is_set", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Wakes all who wait."""
        self._is_set = True
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self._waiters = None

    def clear(self) -> None:
        """From now on one has to wait again."""
        self._is_set = False

    async def wait(self) -> None:
        """Waits until it is set."""
        if self._is_set:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        # One that is given up stays, done, until the next `set`, which is no later than the connection's end.
        await waiter


class Flow:
    """What the server's `FlowControl` is: whether there is to be read from the connection, and written to it."""

    __slots__ = ("_transport", "_writable", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = False
        self.write_paused = False
        self._writable = Signal()
        self._writable.set()

    async def drain(self) -> None:
        """Waits until there is room for more to write."""
        await self._writable.wait()

    def pause_reading(self) -> None:
        """The client shall wait with what it sends."""
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The client may go on."""
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        if not self.write_paused:
            self.write_paused = True
            self._writable.clear()

    def resume_writing(self) -> None:
        """It has read."""
        if self.write_paused:
            self.write_paused = False
            self._writable.set()


class Queue(list[Any]):
    """A short queue in which hardly ever anything waits."""

    __slots__ = ()

    def appendleft(self, item: Any) -> None:
        """Puts it behind all others; `pop` takes the first."""
        self.insert(0, item)
