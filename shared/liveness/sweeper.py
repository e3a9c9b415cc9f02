"""The sweeper: takes over from dead processes and ends what is past its deadline.

Every gateway and worker sweeps; none leads. The guards of the moves make it harmless that several find the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from shared.clock import now_ms
from shared.crash_points import crash_point
from shared.database.access import Database
from shared.errors import StorageError
from shared.liveness.heartbeat import Heartbeat
from shared.observability import metrics
from shared.reply_status import AttemptOutcome
from shared.store import delivery_claims, takeovers, workers
from shared.store.moves import Lost
from shared.store.takeovers import Caps, Moved

log = logging.getLogger(__name__)

# A process is dead when its beat was the same in so many reads, none too far from the one before, over such a time.
DEAD_READS = 5
DEAD_SECONDS = 6.0
MAX_GAP_SECONDS = 3.0
# More than this are left for the next sweep, a moment later.
OVERDUE_AT_ONCE = 500


@dataclass(slots=True)
class _Sighting:
    beat: int
    reads: int
    first: float
    last: float


class Obituary:
    """Tells from successive readings of all beats which processes are dead.

    Only readings that follow a beat of the reader's own are to be given to it: then a locked database, a restarted
    server or a resumed machine kills nobody, since there the reader's beats are missing too.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Sighting] = {}

    def read(self, beats: dict[str, int], *, at: float) -> dict[str, int]:
        """Takes one reading at a monotonic time in seconds; returns the dead with their last beat."""
        self._seen = {process: self._sight(process, beat, at) for process, beat in beats.items()}
        return {
            process: sighting.beat
            for process, sighting in self._seen.items()
            if sighting.reads >= DEAD_READS and at - sighting.first >= DEAD_SECONDS
        }

    def still(self, *, at: float) -> dict[str, float]:
        """For how many seconds, at a monotonic time, the beat of each process has been the same."""
        return {process: at - sighting.first for process, sighting in self._seen.items()}

    def living(self, role: str) -> list[str]:
        """The processes of this role whose beat has not been found the same more than once."""
        return [process for process, seen in self._seen.items() if seen.reads <= 2 and process.startswith(f"{role}_")]

    def _sight(self, process: str, beat: int, at: float) -> _Sighting:
        before = self._seen.get(process)
        if before is None or before.beat != beat or at - before.last > MAX_GAP_SECONDS:
            return _Sighting(beat, reads=1, first=at, last=at)
        return _Sighting(beat, reads=before.reads + 1, first=before.first, last=at)


@dataclass(frozen=True, slots=True)
class _Findings:
    beats: dict[str, int]
    ownerless: list[str]
    overdue: Sequence[Row[Any]]
    has_stamps_from_future: bool
    has_stranded_deliveries: bool


def _look(connection: Connection, *, now: int) -> _Findings:
    return _Findings(
        workers.beats(connection),
        takeovers.ownerless(connection),
        takeovers.overdue(connection, now=now, limit=OVERDUE_AT_ONCE),
        takeovers.has_stamps_from_future(connection, now=now),
        delivery_claims.has_stranded(connection),
    )


class Sweeper:
    """Sweeps after each beat of its own process. `on_moved` hears what was moved, after the commit."""

    def __init__(
        self, database: Database, heartbeat: Heartbeat, *, caps: Caps, on_moved: Callable[[list[Moved]], None]
    ) -> None:
        self._database = database
        self._heartbeat = heartbeat
        self._caps = caps
        self._on_moved = on_moved
        self._obituary = Obituary()
        self._task: asyncio.Task[None] | None = None
        self._swept_at = time.monotonic()

    def start(self) -> None:
        """Starts sweeping."""
        metrics.SWEEPER_AGE.set_function(self.seconds_since_sweep)
        self._task = asyncio.create_task(self._sweep_forever(), name="sweeper")

    async def stop(self) -> None:
        """Stops sweeping."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def seconds_since_sweep(self) -> float:
        """How long ago the last whole sweep ended."""
        return time.monotonic() - self._swept_at

    def seconds_without_beat(self) -> dict[str, float]:
        """For how long this process has seen each other one's beat stand still."""
        return self._obituary.still(at=time.monotonic())

    def living(self, role: str) -> list[str]:
        """The ids of the processes of this role that were alive a moment ago, as far as this one knows."""
        return self._obituary.living(role)

    async def _sweep_forever(self) -> None:
        beats = self._heartbeat.committed
        while True:
            beats = await self._heartbeat.beat_after(beats)
            try:
                await self._sweep()
            except StorageError as error:
                log.warning("a sweep was broken off: %s", error)
            except Exception:
                log.exception("a sweep failed")
            else:
                self._swept_at = time.monotonic()

    async def _sweep(self) -> None:
        """One reading, and a write only for what it found."""
        findings = await self._database.read(_look, now=now_ms())
        dead: dict[str, int | None] = dict.fromkeys(findings.ownerless)
        dead |= self._obituary.read(findings.beats, at=time.monotonic())
        dead.pop(self._heartbeat.process_id, None)
        for process_id, last_beat in dead.items():
            moved = await self._database.write(
                takeovers.take_over, process_id, last_beat=last_beat, caps=self._caps, now=now_ms()
            )
            crash_point("sweeper.take_over.committed")
            if moved:
                log.warning("took over %d replies from %s, which is dead", len(moved), process_id)
            self._tell(moved, reason=metrics.WORKER_DIED)
        if findings.has_stamps_from_future:
            log.warning("the clock was set back: what was queued before is made due again")
            await self._database.write(takeovers.stamp_again, now=now_ms())
        if findings.has_stranded_deliveries:
            count = await self._database.write(delivery_claims.take_over, now=now_ms())
            log.warning("took over %d deliveries from the dead", count)
        await asyncio.gather(*(self._expire(row) for row in findings.overdue))

    async def _expire(self, overdue: Row[Any]) -> None:
        with contextlib.suppress(Lost):  # It ended, or another sweeper was first.
            moved = await self._database.write(takeovers.expire, overdue, caps=self._caps, now=now_ms())
            self._tell([moved], reason=metrics.DEADLINE)

    def _tell(self, moved: list[Moved], *, reason: str) -> None:
        for each in moved:
            code = each.code or metrics.NO_CODE
            metrics.SWEPT(reason, each.status).inc()
            if each.lost is not None:
                metrics.ATTEMPTS(AttemptOutcome.LOST if reason == metrics.WORKER_DIED else each.status, code).inc()
            if each.status.is_terminal:
                metrics.FINISHED(each.status, code).inc()
        if moved:
            self._on_moved(moved)
