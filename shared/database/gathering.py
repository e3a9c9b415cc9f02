"""What an event loop asks the writing thread for, handed over together.

A thread that begins with the first call while the loop takes in the others makes both of them wait for the interpreter,
and each finds what it works on in the other's processor: a request then costs the loop a fifth more.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")

# A loop that has something to be written at each turn hands it over after so long all the same.
MOST_SECONDS = 0.005


class Gathering(Generic[T]):
    """A queue from an event loop to a thread. What is put in is there for the thread once a turn of the loop has
    brought nothing more: alone, after the second turn, which is some microseconds.
    """

    def __init__(self) -> None:
        self._ready: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._gathered: deque[T] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seen = 0
        self._latest = 0.0

    def put(self, item: T, loop: asyncio.AbstractEventLoop) -> None:
        """Puts it in, on the loop that runs."""
        is_first = not self._gathered
        self._gathered.append(item)
        # A loop that has ended in the meantime hands nothing over any more.
        if is_first or loop is not self._loop:
            self._loop = loop
            self._seen = 0
            self._latest = time.monotonic() + MOST_SECONDS
            loop.call_soon(self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        count = len(self._gathered)
        if count > self._seen and time.monotonic() < self._latest:
            self._seen = count
            loop.call_soon(self._look, loop)
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        # Two may do so at once: two loops, or one and whoever ends it.
        with suppress(IndexError):
            while True:
                self._ready.put(self._gathered.popleft())

    def end(self) -> None:
        """What was put in comes out, and then None."""
        self._hand_over()
        self._ready.put(None)

    def get(self) -> T | None:
        """The next one, once there is one."""
        return self._ready.get()

    def get_nowait(self) -> T | None:
        """The next one.

        Raises:
            queue.Empty: there is none yet.
        """
        return self._ready.get_nowait()

    def __len__(self) -> int:
        """How many are in it."""
        return len(self._gathered) + self._ready.qsize()
