"""What sweepers find and do: the dead, the late, and clocks that were set back."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import Row

from shared.reply_status import LIVE, OnCrash, ReplyStatus, StopRequest
from shared.store import takeovers, workers
from shared.store.moves import Lost
from shared.store.takeovers import CLOCK_STEP_MS
from tests.integration.shared.rows import CAPS
from tests.integration.shared.store.scene import HOUR, START
from tests.integration.shared.store.states import STOPPED
from tests.integration.shared.store.worker_rules import NUMBER, WorkerRules


class SweeperRules(WorkerRules):
    """Each rule knows from the rows before what must come of it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen_beats: dict[str, int] = {}
        self.seen_late: list[Row[Any]] = []

    # --- beats and deaths ---

    @rule()
    def look_at_beats(self) -> None:
        """What a sweeper reads."""
        self.seen_beats = dict(self.world.beats)

    @rule(number=NUMBER)
    def beat(self, number: int) -> None:
        """One more, unless others took the worker for dead."""
        worker_id = self.pick(self.workers, number)
        assert self.tables(workers.beat, worker_id) == (worker_id in self.world.beats)

    @precondition(lambda self: self.world.beats and self.mine())
    @rule(number=NUMBER)
    def leave(self, number: int) -> None:
        """The row goes although replies are held."""
        self.tables(workers.remove, self.pick(sorted(self.world.beats), number))

    @precondition(lambda self: self.seen_beats)
    @rule(number=NUMBER)
    def take_over(self, number: int) -> None:
        """From one that looked dead: nothing if it has beaten since."""
        worker_id = self.pick(sorted(self.seen_beats), number)
        beat = self.seen_beats[worker_id]
        is_silent = self.world.beats.get(worker_id) == beat
        self.take_over_from(worker_id, beat, self.of_dead(worker_id) if is_silent else [])
        assert worker_id not in self.tables(workers.beats) or not is_silent

    @precondition(
        lambda self: {row.worker_id for row in self.world.replies.values()} - {None} - self.world.beats.keys()
    )
    @rule()
    def take_over_ownerless(self) -> None:
        """From all that have no row."""
        owners = {row.worker_id for row in self.world.replies.values()} - {None}
        ownerless = self.tables(takeovers.ownerless)
        assert sorted(ownerless) == sorted(owners - self.world.beats.keys())
        for worker_id in sorted(ownerless):
            self.take_over_from(worker_id, None, self.of_dead(worker_id))

    def take_over_from(self, worker_id: str, last_beat: int | None, held: list[Row[Any]]) -> None:
        """Each goes where `on_crash` and the caps say, unless somebody asked it to stop."""
        self.about(*(row.conversation_id for row in held))
        moved = self.do(takeovers.take_over, worker_id, last_beat=last_beat, caps=CAPS, now=self.now)
        assert {each.reply_id: each.status for each in moved} == {row.id: _after_death(row) for row in held}
        for row in held:
            now = self.tables.reply(row.id)
            self.outcomes[f"{row.on_crash}: {now['status']}"] += 1
            assert now["token"] == row.token + 1, "a zombie could still write"
            assert (now["tries"], now["model_calls"]) == (row.tries, row.model_calls)

    # --- time ---

    @rule(ms=st.sampled_from([1, 10, 40, 200]))
    def wait(self, ms: int) -> None:
        """Time goes on."""
        self.now += ms

    @precondition(
        lambda self: any(row.status in LIVE and row.deadline_at <= self.now for row in self.world.replies.values())
    )
    @rule()
    def expire(self) -> None:
        """Whatever is past its deadline ends, held or not."""
        late = self.tables(takeovers.overdue, now=self.now, limit=100)
        due = {row.id for row in self.world.replies.values() if row.status in LIVE and row.deadline_at <= self.now}
        assert {row.id for row in late} == due
        self.about(*(row.conversation_id for row in late))
        for row in late:
            before = self.world.replies[row.id]
            stop = before.stop_requested
            moved = self.do(takeovers.expire, row, caps=CAPS, now=self.now)
            assert moved.status is (STOPPED[StopRequest(stop)] if stop else ReplyStatus.FAILED)
            assert self.tables.reply(row.id)["token"] == before.token + 1, "a zombie could still write"

    @rule()
    def look_for_late(self) -> None:
        """What a sweeper finds, and does not come to at once."""
        self.seen_late = list(self.tables(takeovers.overdue, now=self.now, limit=100))

    @precondition(lambda self: self.seen_late)
    @rule(number=NUMBER)
    def expire_at_last(self, number: int) -> None:
        """It may have ended since, or be gone, or be tried again."""
        found = self.pick(self.seen_late, number)
        row = self.world.replies.get(found.id)
        self.about(found.conversation_id)
        is_late = row is not None and row.status in LIVE and row.token == found.token and row.deadline_at <= self.now
        self.attempt(None if is_late else Lost, takeovers.expire, found, caps=CAPS, now=self.now)

    @precondition(lambda self: self.now > START - HOUR and len(self.world.replies) > 8)
    @rule(is_much=st.booleans(), is_noticed=st.sampled_from([True, True, False]))
    def set_the_clock_back(self, is_much: bool, is_noticed: bool) -> None:  # noqa: FBT001  Hypothesis names them.
        """By more than any clock that is kept right, or by a little. Mostly a sweeper notices before much happens."""
        self.now -= HOUR if is_much else 30
        if is_noticed:
            self.what_is_promised_holds()
            self.heal_stamps()

    @precondition(lambda self: self.now < START)
    @rule()
    def stamp_again(self) -> None:
        """A sweeper notices."""
        self.heal_stamps()

    def heal_stamps(self) -> None:
        """What was asked for in what is now the future is due at once, and has as much time as it was given."""
        ahead = [
            row
            for row in self.world.replies.values()
            if row.status == ReplyStatus.QUEUED
            and row.available_at > self.now
            and self.queued_at(row) > self.now + CLOCK_STEP_MS
        ]
        in_line = [row for row in ahead if not row.waits_for_turn]
        assert self.tables(takeovers.has_stamps_from_future, now=self.now) == bool(in_line)
        self.about(*(row.conversation_id for row in ahead))
        self.do(takeovers.stamp_again, now=self.now)
        for row in ahead:
            self.outcomes["stamped again"] += 1
            now = self.tables.reply(row.id)
            assert (now["available_at"], now["created_at"]) == (self.now, min(self.now, row.created_at))
            given_at = row.created_at if row.tries else row.available_at
            assert now["deadline_at"] == row.deadline_at - max(0, given_at - self.now)
        assert not self.tables(takeovers.has_stamps_from_future, now=self.now)

    def queued_at(self, row: Row[Any]) -> int:
        """When it was queued last: for its first try, or at the end of the one before."""
        return int(self.world.attempts[row.id][-1].ended_at if row.tries else row.available_at)


def _after_death(row: Row[Any]) -> ReplyStatus:
    """What becomes of a reply whose worker died."""
    if row.stop_requested is not None:
        return STOPPED[StopRequest(row.stop_requested)]
    if row.on_crash == OnCrash.KEEP_PARTIAL and row.partial:
        return ReplyStatus.INCOMPLETE
    if row.on_crash == OnCrash.FAIL or row.tries >= CAPS.tries or row.model_calls >= CAPS.model_calls:
        return ReplyStatus.FAILED
    return ReplyStatus.QUEUED
