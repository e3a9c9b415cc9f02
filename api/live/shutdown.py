"""Learning early that the process is to stop.

The server waits for its open requests before it tells the application: a waiting client would hold it up for as long
as it waits. So the signals are heard here as well.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def told_of_shutdown(release: Callable[[], None]) -> Iterator[None]:
    """Calls `release` on the running loop when a stop signal comes, and then whoever handled the signal before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread may handle signals; a server in another thread gets none.
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def on_signal(number: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(release)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    chained = [number for number in _SIGNALS if callable(before[number])]
    for number in chained:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in chained:
            if signal.getsignal(number) is on_signal:
                signal.signal(number, before[number])
