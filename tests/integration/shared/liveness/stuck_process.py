"""A process under a watchdog: `python -m … turning|stuck|logging`.

`turning` lets its loop turn many times as long as a stuck one is allowed to stand still, `stuck` blocks it, and
`logging` blocks it by a log line that nobody reads.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

from shared.liveness import heartbeat
from shared.liveness.heartbeat import Watchdog

TURNS = 100


async def turning() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(heartbeat.LOOK_SECONDS / 2)


async def stuck() -> None:
    threading.Event().wait()


async def stuck_in_logging() -> None:
    logging.basicConfig()
    logging.getLogger("shared").error("x" * 1_000_000)


async def main() -> None:
    heartbeat.LOOK_SECONDS = 0.05
    # A turning loop on a busy machine must not be taken for a stuck one.
    heartbeat.STUCK_SECONDS = 2.0 if sys.argv[1] == "turning" else 0.1
    watchdog = Watchdog(asyncio.get_running_loop())
    watchdog.start()
    await {"turning": turning, "stuck": stuck, "logging": stuck_in_logging}[sys.argv[1]]()
    watchdog.stop()


if __name__ == "__main__":
    asyncio.run(main())
