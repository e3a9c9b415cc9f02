"""A worker whose event loop can be made to stand still, while its threads live: `python -m … CELERY ARGUMENTS`.

SIGUSR2 does it; all else is the stock `celery` command.
"""

from __future__ import annotations

import signal
import sys
import threading

from celery.__main__ import main

from worker import tasks

for_ever = threading.Event()


def stand_still(*_: object) -> None:
    """The loop never turns again."""
    tasks.process()._thread.loop.call_soon_threadsafe(for_ever.wait)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, stand_still)
    sys.exit(main())
