"""What workers, sweepers and clocks do."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from sqlalchemy import Row

from shared.ending import Ending, Failure, Usage
from shared.reply_status import AttemptOutcome, IncompleteReason, ReplyError, ReplyStatus, StopRequest
from shared.store import claims, moves
from shared.store.claims import ProcessGone
from shared.store.moves import Lost
from tests.integration.shared.rows import CAPS
from tests.integration.shared.store.scene import Hold, Scene
from tests.integration.shared.store.states import STOPPED

NUMBER = st.integers(0, 63)
FAILURE = Failure(ReplyError.UPSTREAM_ERROR, "No.", retryable=True)
USAGE = Usage(input_tokens=3, output_tokens=4)
# A worker that lost a reply long ago has nothing new to try.
ZOMBIES = 4


def _ending(kind: str, text: str) -> Ending:
    match kind:
        case "completed":
            return Ending(ReplyStatus.COMPLETED, text, USAGE)
        case "silent":
            return Ending(ReplyStatus.COMPLETED, "", USAGE)
        case "cut short":
            return Ending(ReplyStatus.INCOMPLETE, text, USAGE, incomplete_reason=IncompleteReason.MAX_OUTPUT_TOKENS)
        case _:
            return Ending(ReplyStatus.FAILED, text, USAGE, failure=FAILURE)


class WorkerRules(Scene):
    """Each rule knows from the row before whether the move must succeed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.processes = 0

    @initialize()
    def two_workers(self) -> None:
        """There is somebody to begin with."""
        self.begin_worker()
        self.begin_worker()

    def begin_worker(self) -> None:
        """A new process, under an id of its own."""
        self.processes += 1
        self.workers.append(self.tables.worker(f"worker_{self.processes}"))

    # --- holding replies ---

    @rule(number=NUMBER, limit=st.sampled_from([1, 2]))
    def claim_some(self, number: int, limit: int) -> None:
        """A worker with so many free slots."""
        self.claim(number, limit=limit)

    @rule(number=NUMBER)
    def claim_all(self, number: int) -> None:
        """A worker with many."""
        self.claim(number, limit=100)

    @rule(number=NUMBER)
    def answer(self, number: int) -> None:
        """A claim and its whole answer, so that conversations go on."""
        known = len(self.holds)
        self.claim(number, limit=1)
        self.what_is_promised_holds()
        for hold in self.holds[known:]:
            self.finish(hold, "completed")

    def claim(self, number: int, *, limit: int) -> None:
        """The oldest of what is due, none of a turn whose time has not come; a suspect alone."""
        worker_id = self.pick(self.workers, number)
        if worker_id not in self.world.beats:
            self.refused(ProcessGone, claims.claim, worker_id, limit=limit, now=self.now)
            self.workers.remove(worker_id)
            self.begin_worker()
            return
        due = sorted((row for row in self.world.replies.values() if self.is_due(row)), key=_age)[:limit]
        due = [row for row in due if row.is_suspect][:1] or due
        self.about(*(row.conversation_id for row in due))
        taken = self.do(claims.claim, worker_id, limit=limit, now=self.now)
        assert [claim.reply_id for claim in taken] == sorted(row.id for row in due)
        for claim in taken:
            before = self.world.replies[claim.reply_id]
            assert (claim.token, claim.attempt) == (before.token + 1, before.attempt + 1)
            assert (claim.tries, claim.model_calls) == (before.tries + 1, before.model_calls + 1)
        self.holds += [Hold(worker_id, claim) for claim in taken]

    def is_due(self, row: Row[Any]) -> bool:
        """Whether somebody may take it now."""
        is_ready = row.status == ReplyStatus.QUEUED and row.available_at <= self.now < row.deadline_at
        return is_ready and bool(row.turn == min(each.turn for each in self.world.live(row.conversation_id)))

    @precondition(lambda self: self.mine())
    @rule(number=NUMBER)
    def save_partial(self, number: int) -> None:
        """What is there of the text."""
        hold = self.some_hold(number)
        content = f"part of {hold.claim.reply_id}, attempt {hold.claim.attempt}"
        self.do(moves.save_partial, hold.claim, content)

    @precondition(lambda self: self.mine())
    @rule(number=NUMBER)
    def complete(self, number: int) -> None:
        """The model has said all."""
        self.finish(self.some_hold(number), "completed")

    @precondition(lambda self: self.mine())
    @rule(number=NUMBER, kind=st.sampled_from(["cut short", "failed", "silent"]))
    def end_otherwise(self, number: int, kind: str) -> None:
        """Or not all, or nothing."""
        self.finish(self.some_hold(number), kind)

    def finish(self, hold: Hold, kind: str) -> None:
        """The end, as the model says or as somebody wished."""
        self.about(hold.claim.conversation_id, hold.claim.reply_id)
        ending = _ending(kind, f"all of {hold.claim.reply_id}, attempt {hold.claim.attempt}")
        status = self.do(moves.finish, hold.claim, ending, now=self.now)
        assert status is self.stopped(hold, otherwise=ending.status)
        self.check_text(hold.claim.reply_id, ending.content)

    @precondition(lambda self: self.mine())
    @rule(number=NUMBER, later_ms=st.sampled_from([0, 20]), counts=st.booleans())
    def try_again(self, number: int, later_ms: int, counts: bool) -> None:  # noqa: FBT001  Hypothesis names it.
        """What a worker does when the model failed, as long as the caps allow it."""
        hold = self.some_hold(number)
        calls = hold.claim.model_calls - (not counts)
        if hold.claim.tries >= CAPS.tries or calls >= CAPS.model_calls:
            ending = _ending("failed", "")
            status = self.do(moves.finish, hold.claim, ending, now=self.now)
            expected = ReplyStatus.FAILED
            self.outcomes["caps used up"] += 1
        else:
            status = self.do(
                moves.requeue,
                hold.claim,
                outcome=AttemptOutcome.RETRIED,
                next_at=self.now + later_ms,
                now=self.now,
                give_back_call=not counts,
                failure=FAILURE,
            )
            expected = ReplyStatus.QUEUED
        assert status is self.stopped(hold, otherwise=expected)

    @precondition(lambda self: self.mine())
    @rule(number=NUMBER)
    def hand_back(self, number: int) -> None:
        """What a worker does that is told to end."""
        hold = self.some_hold(number)
        status = self.do(
            moves.requeue,
            hold.claim,
            outcome=AttemptOutcome.HANDED_BACK,
            next_at=self.now,
            now=self.now,
            give_back_try=True,
            give_back_call=True,
        )
        assert status is self.stopped(hold, otherwise=ReplyStatus.QUEUED)
        now = self.tables.reply(hold.claim.reply_id)
        assert (now["tries"], now["model_calls"]) == (hold.claim.tries - 1, hold.claim.model_calls - 1)
        self.outcomes["handed back"] += 1

    @precondition(lambda self: len(self.mine()) < len(self.holds))
    @rule(number=NUMBER)
    def haunt(self, number: int) -> None:
        """A worker that lost a reply without noticing tries everything, and changes nothing."""
        lost = [hold for hold in self.holds if not self.is_mine(hold)]
        for hold in lost[:-ZOMBIES]:
            self.holds.remove(hold)
        claim = self.pick(lost[-ZOMBIES:], number).claim
        self.refused(Lost, moves.save_partial, claim, "A ghost's.")
        self.refused(Lost, moves.finish, claim, _ending("completed", "A ghost's."), now=self.now)
        again = AttemptOutcome.RETRIED
        self.refused(Lost, moves.requeue, claim, outcome=again, next_at=self.now, now=self.now)

    # --- words for the rules ---

    def mine(self) -> list[Hold]:
        """What workers hold, as they think and as it is."""
        return [hold for hold in self.holds if self.is_mine(hold)]

    def is_mine(self, hold: Hold) -> bool:
        """Whether the row runs under this claim."""
        row = self.world.replies.get(hold.claim.reply_id)
        return row is not None and (row.status, row.token) == (ReplyStatus.IN_PROGRESS, hold.claim.token)

    def some_hold(self, number: int) -> Hold:
        """One of those; the step is about it."""
        hold = self.pick(self.mine(), number)
        self.about(hold.claim.conversation_id, hold.claim.reply_id)
        return hold

    def stopped(self, hold: Hold, *, otherwise: ReplyStatus) -> ReplyStatus:
        """What a move of a held reply must come to."""
        stop = self.world.replies[hold.claim.reply_id].stop_requested
        self.outcomes[f"moved with stop {stop}"] += 1
        return STOPPED[StopRequest(stop)] if stop else otherwise

    def check_text(self, reply_id: str, text: str) -> None:
        """The text of an ending is kept once: as the answer, or with the reply that has none."""
        row = self.tables.reply(reply_id)
        has_answer = row["status"] in ("completed", "incomplete")
        assert self.tables.answers(reply_id) == ([text] if has_answer and text else [])
        assert row["partial"] == (None if has_answer else text or None)
        assert row["output_tokens"] == USAGE.output_tokens


def _age(row: Row[Any]) -> tuple[int, str]:
    return row.available_at, row.id
