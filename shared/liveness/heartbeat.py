"""A process's sign of life, and what ends the process when it can give none.

The beat is made by the event loop itself, so a stuck loop does not look alive. A beat is a counter in one row,
however many replies the process holds, and no clock is compared.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import socket
import threading
from collections.abc import Callable

from shared.clock import follow, now_ms
from shared.database.access import Database
from shared.errors import StorageError
from shared.ids import new_process_id
from shared.store import workers

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.5
# A loop that has not turned for so many seconds in a row is stuck: the process ends and others take over.
STUCK_SECONDS = 10.0
LOOK_SECONDS = 1.0
EXIT_STUCK = 70


class Heartbeat:
    """Registers this process, a worker with so many `slots`, and beats once every one and a half seconds.

    `on_gone` is called when others took the process for dead: what it held is theirs now, and it goes on under a
    new id.
    """

    def __init__(
        self, database: Database, role: str, *, slots: int | None = None, on_gone: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._role = role
        self._slots = slots
        self._on_gone = on_gone
        self._task: asyncio.Task[None] | None = None
        self._watchdog: Watchdog | None = None
        self._beaten = asyncio.Condition()
        self.process_id = new_process_id(role)
        self.committed = 0

    async def start(self) -> None:
        """Adds the process's row, then beats.

        Raises:
            StorageError: the row could not be stored.
        """
        await self._follow_clock()
        await self._register()
        self._watchdog = Watchdog(asyncio.get_running_loop())
        self._watchdog.start()
        self._task = asyncio.create_task(self._beat_forever(), name="heartbeat")

    async def stop(self) -> None:
        """Ends in good order: the row goes. Call it when the process holds nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._watchdog is not None:
            self._watchdog.stop()
        try:
            await self._database.write(workers.remove, self.process_id)
        except StorageError as error:
            log.warning("could not sign off; others will notice: %s", error)

    async def beat_after(self, seen: int) -> int:
        """Waits until more than `seen` beats are committed and returns how many are."""
        async with self._beaten:
            await self._beaten.wait_for(lambda: self.committed > seen)
            return self.committed

    async def _register(self) -> None:
        host = socket.gethostname()
        await self._database.write(workers.register, self.process_id, host=host, now=now_ms(), slots=self._slots)

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._follow_clock()
                await self._beat()
            except StorageError as error:
                log.warning("a beat was not stored: %s", error)
                continue
            except Exception:
                log.exception("a beat failed")
                continue
            async with self._beaten:
                self.committed += 1
                self._beaten.notify_all()

    async def _follow_clock(self) -> None:
        offset_ms = await self._database.read(workers.clock_offset_ms)
        if offset_ms is not None:
            follow(offset_ms)

    async def _beat(self) -> None:
        if await self._database.write(workers.beat, self.process_id):
            return
        gone, self.process_id = self.process_id, new_process_id(self._role)
        log.warning("others took %s for dead; going on as %s", gone, self.process_id)
        self._on_gone()
        await self._register()


class Watchdog:
    """A thread that ends the process when its event loop has stopped turning.

    It counts its own wake-ups without a turn rather than comparing clocks, so that a suspended process is given
    time to turn its loop when it is resumed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turned = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Starts watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stops watching."""
        self._stopped.set()

    def _run(self) -> None:
        missed_seconds = 0.0
        while not self._stopped.is_set():
            self._turned.clear()
            try:
                self._loop.call_soon_threadsafe(self._turned.set)
            except RuntimeError:
                return  # The loop is closed: the process is on its way out.
            if self._turned.wait(timeout=LOOK_SECONDS):
                missed_seconds = 0.0
                self._stopped.wait(timeout=LOOK_SECONDS)
                continue
            missed_seconds += LOOK_SECONDS
            if missed_seconds >= STUCK_SECONDS:
                self._end_process()

    def _end_process(self) -> None:
        """Says why, if that is possible within a moment: the loop may be stuck in the very middle of logging."""
        last_words = threading.Thread(target=_tell_why, daemon=True)
        last_words.start()
        last_words.join(timeout=LOOK_SECONDS)
        os._exit(EXIT_STUCK)


def _tell_why() -> None:
    log.critical("the event loop has not turned for %d seconds; this process ends", STUCK_SECONDS)
    faulthandler.dump_traceback()
