"""The slots of a worker: room for so many generations, and how they are filled, watched and emptied.

A bell says only that there is work. The worker takes a free slot first and then claims whatever reply is due
longest, so that what it has no room for stays claimable by others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from shared.background import woken
from shared.clock import now_ms
from shared.errors import StorageError
from shared.liveness.heartbeat import Heartbeat
from shared.messaging.doorbell import Doorbell
from shared.store import claims, stops, takeovers
from shared.store.claims import Claim
from shared.store.prompts import Message
from worker import metrics, partials
from worker.claiming import Claiming, Prompts, Tasks
from worker.generation import Generation
from worker.trial import Trial
from worker.workbench import Workbench

log = logging.getLogger(__name__)

T = TypeVar("T")

_Held = tuple[str, int]  # a reply's id and the token of the claim

# How often a worker looks for due replies without any bell, and stores the text of those it holds.
TICK_SECONDS = 1.0
# What ends so soon after others have is looked on from with the next ones: many that end one by one cost few claims.
TOGETHER_SECONDS = 0.02


class Slots:
    """Runs up to `capacity` generations on the current event loop."""

    def __init__(self, capacity: int, bench: Workbench, *, heartbeat: Heartbeat, doorbell: Doorbell) -> None:
        self._capacity = capacity
        self._bench = bench
        self._heartbeat = heartbeat
        self._doorbell = doorbell
        self._running: dict[asyncio.Task[None], Generation] = {}
        self._claiming = Claiming(self, bench, heartbeat)
        self._vacated: set[str] = set()  # conversations, replies of which have ended
        self._is_going_on = False
        self._trial = Trial()
        self._stops_heard: set[str] = set()
        self._draining = False
        self._wake = asyncio.Event()
        self._orphans: set[_Held] = set()
        self._strays: set[_Held] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[Any]] = set()

    @property
    def free(self) -> int:
        """How many more generations there is room for."""
        return (
            0 if self._draining or self._trial.is_on else self._capacity - len(self._running) - self._claiming.under_way
        )

    @property
    def held(self) -> Iterable[Claim]:
        """What is under way."""
        return (generation.claim for generation in self._running.values())

    def start(self) -> None:
        """Starts looking for work once a second."""
        metrics.SLOTS.labels("used").set_function(lambda: len(self._running) + self._claiming.under_way)
        metrics.SLOTS.labels("free").set_function(lambda: self.free)
        self._loops = [
            asyncio.create_task(self._tick_forever(), name="tick"),
            asyncio.create_task(self._check_forever(), name="check"),
        ]

    def wake(self) -> None:
        """Looks for work at once."""
        self._wake.set()

    async def answer(self, reply_ids: Collection[str]) -> None:
        """Claims as many due replies as it has not of these, and lasts until they have ended or are handed back."""
        started = [task for task, generation in self._running.items() if generation.claim.reply_id in reply_ids]
        started += await self._claiming.take(len(reply_ids) - len(started))
        if started:
            await asyncio.wait(started)

    def knocked(self, count: int) -> None:
        """So many replies are due. A bell for them follows, in case there is no room here."""
        if self.free:
            _ = self.spawn(self._claiming.take(count))

    def told_of_stop(self, reply_id: str) -> None:
        """Somebody asked for this reply to stop, or erased it. What the database says of it counts."""
        if self._claiming.under_way:
            self._stops_heard.add(reply_id)
        for task, generation in self._running.items():
            if generation.claim.reply_id == reply_id:
                _ = self.spawn(self._heed_stop(task, generation))

    def give_up(self) -> None:
        """Stops every generation without a word: others took this process for dead and hold its replies."""
        for task in self._running:
            task.cancel()

    def claim_no_more(self) -> None:
        """From now on no bell brings anything."""
        self._draining = True

    async def drain(self, seconds: float) -> None:
        """Claims nothing more, gives what runs so many seconds to end, and hands the rest back."""
        self.claim_no_more()
        if self._errands:
            await asyncio.wait(list(self._errands))
        if self._running:
            log.warning("draining %d replies", len(self._running))
            await asyncio.wait(list(self._running), timeout=seconds)
        for task in self._loops:  # Until now they have kept the text so far.
            task.cancel()
        left = dict(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(list(left))
            await asyncio.gather(*(self._hand_back(generation) for generation in left.values()))
        if self._errands:
            await asyncio.wait(list(self._errands))

    def start_all(self, claimed: Sequence[Claim], prompts: Prompts) -> Tasks:
        """Starts what a claim brought."""
        # A stop may have come between the claim's commit and this.
        stopped, self._stops_heard = self._stops_heard, set()
        started = [self._start(claim, prompts.get(claim.reply_id, ())) for claim in claimed]
        for reply_id in stopped:
            self.told_of_stop(reply_id)
        return started

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A short task that the drain waits for."""
        task = asyncio.create_task(coroutine)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task

    def _start(self, claim: Claim, prompt: Sequence[Message]) -> asyncio.Task[None]:
        generation = Generation(claim, self._bench, prompt=prompt)
        self._bench.upstreams.begin(claim)
        task = asyncio.create_task(generation.run(), name=claim.reply_id)
        if claim.is_suspect:
            self._trial.begin(task, generation.stream)
        self._running[task] = generation
        task.add_done_callback(self._ended)
        self._bench.notifier.announce(claim.conversation_id)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        generation = self._running.pop(task)
        self._bench.upstreams.leave(generation.claim)
        if not generation.is_settled:
            # Also while draining: what it said last may be written down after the erasure.
            _ = self.spawn(self._erase_log_of_erased(generation))
        if self._draining:
            return
        if not task.cancelled() and (error := task.exception()):
            log.error("a generation failed", exc_info=error, extra={"reply_id": generation.claim.reply_id})
        self._vacated.add(generation.claim.conversation_id)
        if not self._is_going_on:
            self._is_going_on = True
            _ = self.spawn(self._go_on())

    async def _go_on(self) -> None:
        """Fills freed slots; what ends meanwhile is looked at together, next time around."""
        try:
            while self._vacated:
                ended, self._vacated = self._vacated, set()
                await self._fill_after(ended)
                await asyncio.sleep(TOGETHER_SECONDS)
        finally:
            self._is_going_on = False

    async def _fill_after(self, conversation_ids: Collection[str]) -> None:
        """Takes more after replies of these have ended, and rings for their next turns that this worker did not get.

        It reads anew: inside the transaction that ended a reply, a turn just being accepted would be missed.
        """
        shut = self._bench.upstreams.shut()
        try:
            following, has_due = await self._bench.database.read(_look_on, conversation_ids, now=now_ms(), shut=shut)
            if has_due:
                await self._claiming.take(self.free)
            if following:
                mine = {claim.reply_id for claim in self.held}
                self._doorbell.ring([reply_id for reply_id in following if reply_id not in mine])
        except StorageError as error:
            log.warning("could not look for the next turns; the tick will: %s", error)

    async def _erase_log_of_erased(self, generation: Generation) -> None:
        """Where the reply is gone with its conversation, the log that this worker may have begun anew goes, too."""
        reply_id = generation.claim.reply_id
        try:
            is_gone = await self._bench.database.read(stops.state, reply_id) is None
        except StorageError as error:
            log.warning("the event log of a lost reply is left to expire: %s", error, extra={"reply_id": reply_id})
            return
        if is_gone:
            generation.stream.fall_silent()
            self._bench.notifier.forget_logs([reply_id])

    async def _heed_stop(self, task: asyncio.Task[None], generation: Generation) -> None:
        try:
            state = await self._bench.database.read(stops.state, generation.claim.reply_id)
        except StorageError as error:
            log.warning("could not look up a stop; the next beat will: %s", error)
            return
        if state is None:
            task.cancel()  # It was erased with its conversation.
        elif state.token == generation.claim.token and state.stop_requested:
            generation.stop()

    async def _tick_forever(self) -> None:
        while True:
            await woken(self._wake, within_seconds=TICK_SECONDS)
            try:
                await self._tick()
            except StorageError as error:
                log.warning("a look for work was broken off: %s", error)
            except Exception:
                log.exception("a look for work failed")

    async def _tick(self) -> None:
        await self._save_partials()
        if self.free and await self._has_due():
            await self._claiming.take(self.free)

    async def _has_due(self) -> bool:
        return await self._bench.database.read(claims.has_due, now=now_ms(), shut=self._bench.upstreams.shut())

    async def _save_partials(self) -> None:
        lost = await partials.save(self._bench.database, list(self._running.values()))
        for task, generation in self._running.items():
            if generation in lost:
                task.cancel()

    async def _check_forever(self) -> None:
        beats = 0
        while True:
            beats = await self._heartbeat.beat_after(beats)
            try:
                await self._check()
            except StorageError as error:
                log.warning("a check of what is held was broken off: %s", error)
            except Exception:
                log.exception("a check of what is held failed")

    async def _check(self) -> None:
        """Compares what this process works on with the replies it holds; what differs after two beats is put right.

        A reply that it holds and does not work on comes from a coroutine that died, or from a claim whose commit had
        an unknown outcome. One that it works on and does not hold was erased, or moved on by others.
        What somebody asked to stop is stopped, in case the word of it was lost.
        """
        working_before = self._working().keys()
        found = await self._bench.database.read(takeovers.held_by, self._heartbeat.process_id)
        held = {(each.claim.reply_id, each.claim.token): each for each in found}
        working = self._working()
        for key in held.keys() & working.keys():
            if held[key].stop_requested:
                self._running[working[key]].stop()
        orphans, strays = held.keys() - working.keys(), working_before - held.keys()
        for key in strays & self._strays & working.keys():
            working[key].cancel()
        abandoned, self._orphans, self._strays = orphans & self._orphans, orphans, strays
        await asyncio.gather(*(Generation(held[key].claim, self._bench).abandon() for key in abandoned))

    def _working(self) -> dict[_Held, asyncio.Task[None]]:
        return {(running.claim.reply_id, running.claim.token): task for task, running in self._running.items()}

    async def _hand_back(self, generation: Generation) -> None:
        if await generation.hand_back():
            self._doorbell.ring([generation.claim.reply_id])


def _look_on(
    connection: Connection, conversation_ids: Collection[str], *, now: int, shut: Sequence[tuple[str, int]]
) -> tuple[list[str], bool]:
    """The due replies of these conversations, and whether there is anything due at all."""
    following = [reply_id for each in conversation_ids for reply_id in claims.due_in(connection, each, now=now)]
    return following, bool(following) or claims.has_due(connection, now=now, shut=shut)
