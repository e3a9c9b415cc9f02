"""Whatever order gateways, workers, deaths and the clock come in, the promises hold after every step."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.database.models import messages, replies
from shared.ending import Ending, Failure
from shared.reply_status import AttemptOutcome, IncompleteReason, ReplyError, ReplyStatus, StopRequest
from shared.store import claims, moves, takeovers, workers
from shared.store.claims import Claim, ProcessGone
from shared.store.moves import Lost
from tests.integration.shared.rows import CAPS, COMPLETED, CUT_SHORT, NOW, Tables

STEPS = 400
FAILURE = Failure(ReplyError.UPSTREAM_ERROR, "No.", retryable=True)
ENDINGS = [COMPLETED, CUT_SHORT, Ending(ReplyStatus.COMPLETED), Ending(ReplyStatus.FAILED, "Hm", failure=FAILURE)]


@dataclass
class Walk:
    """Three conversations, two workers and an hour that passes in leaps.

    `held` has every claim that a worker ever got and has not used up. It is not told when it loses one, so that
    zombies try their luck all the time; whether they may succeed is known from the row just before.
    """

    tables: Tables
    choose: random.Random
    now: int = NOW
    conversations: list[str] = field(default_factory=list)
    held: list[tuple[str, Claim]] = field(default_factory=list)
    done: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def begin(self) -> None:
        self.conversations = [self.tables.conversation() for _ in range(3)]
        for worker_id in ("worker_a", "worker_b"):
            self.tables.worker(worker_id)

    def step(self) -> str:
        steps: dict[Callable[[], None], int] = {
            self.ask: 4,
            self.claim: 6,
            self.save: 3,
            self.finish: 6,
            self.requeue: 3,
            self.stop: 1,
            self.die: 1,
            self.expire: 1,
            self.wait: 3,
        }
        chosen = self.choose.choices(list(steps), weights=list(steps.values()))[0]
        chosen()
        self.check()
        return chosen.__name__

    def ask(self) -> None:
        choose = self.choose
        ids = self.tables.ask(
            choose.choice(self.conversations),
            n=choose.choice([1, 1, 2]),
            now=self.now,
            deadline_ms=choose.choice([50, 500]),
        )
        for reply_id in ids:
            self.tables.change_reply(reply_id, on_crash=choose.choice(["restart", "keep_partial", "fail"]))

    def claim(self) -> None:
        worker_id = self.choose.choice(["worker_a", "worker_b"])
        try:
            claimed = self.tables(claims.claim, worker_id, limit=self.choose.choice([1, 3]), now=self.now)
        except ProcessGone:
            self.tables.worker(worker_id)
        else:
            self.held += [(worker_id, claim) for claim in claimed]

    def save(self) -> None:
        self.move(lambda claim: self.tables(moves.save_partial, claim, "So far"), ends=False)

    def finish(self) -> None:
        ending = self.choose.choice(ENDINGS)
        self.move(lambda claim: self.tables(moves.finish, claim, ending, now=self.now), ends=True)

    def requeue(self) -> None:
        give_back = self.choose.choice([False, True])
        at = self.now + self.choose.choice([0, 20])
        self.move(
            lambda claim: self.tables(
                moves.requeue, claim, outcome=AttemptOutcome.RETRIED, next_at=at, now=self.now, give_back_call=give_back
            ),
            ends=True,
        )

    def move(self, move: Callable[[Claim], object], *, ends: bool) -> None:
        """One held claim is used; it must work if, and only if, the row still carries its token and runs."""
        if not self.held:
            return
        entry = self.choose.choice(self.held)
        worker_id, claim = entry
        row = self.tables.reply(claim.reply_id)
        is_mine = (row["status"], row["token"], row["worker_id"]) == ("in_progress", claim.token, worker_id)
        if is_mine:
            move(claim)
            if ends:
                self.held.remove(entry)
        else:
            with pytest.raises(Lost):
                move(claim)

    def stop(self) -> None:
        running = self.tables.rows(replies, status="in_progress")
        if running:
            row = self.choose.choice(running)
            self.tables.stop(row["id"], self.choose.choice(list(StopRequest)))

    def die(self) -> None:
        """Half of the time its row is gone before anybody looks."""
        worker_id = self.choose.choice(["worker_a", "worker_b"])
        last_beat: int | None = self.tables(workers.beats).get(worker_id)
        if last_beat is not None and self.choose.random() < 0.5:
            self.tables(workers.remove, worker_id)
            last_beat = None
        self.tables(takeovers.take_over, worker_id, last_beat=last_beat, caps=CAPS, now=self.now)

    def expire(self) -> None:
        for row in self.tables(takeovers.overdue, now=self.now, limit=100):
            self.tables(takeovers.expire, row, now=self.now)

    def wait(self) -> None:
        self.now += self.choose.choice([1, 10, 40])

    def check(self) -> None:
        rows = self.tables.rows(replies)
        answers = {row["reply_id"]: row["content"] for row in self.tables.rows(messages, role="assistant")}
        assert len(answers) == len(self.tables.rows(messages, role="assistant"))
        live_turns: dict[str, set[int]] = {}
        for row in rows:
            status = ReplyStatus(row["status"])
            assert row["token"] >= self.tokens.get(row["id"], 0)
            self.tokens[row["id"]] = row["token"]
            if status.is_terminal:
                self.check_end(row, answers.get(row["id"]))
            else:
                assert row["id"] not in answers
                assert not row["selected"]
                assert (row["worker_id"] is None) == (status is ReplyStatus.QUEUED)
                assert row["model_calls"] >= 0
                assert 0 <= row["tries"] <= row["attempt"]
                live_turns.setdefault(row["conversation_id"], set()).add(row["turn"])
        for row in rows:
            if row["status"] == ReplyStatus.IN_PROGRESS:
                assert row["turn"] == min(live_turns[row["conversation_id"]])
        self.check_selected(rows, answers)

    def check_end(self, row: Any, answer: str | None) -> None:
        """What has ended stays; `selected` alone may still come."""
        end = (row["status"], row["finished_at"], row["incomplete_reason"], row["error_code"], row["partial"], answer)
        assert self.done.setdefault(row["id"], end) == end
        assert row["finished_at"] is not None
        assert row["worker_id"] is None
        assert answer is None or row["status"] in (ReplyStatus.COMPLETED, ReplyStatus.INCOMPLETE)
        assert answer is None or row["partial"] is None
        assert (row["error_code"] is not None) == (row["status"] == ReplyStatus.FAILED)
        if row["stop_requested"] is not None:
            stopped = {"cancel": ReplyStatus.CANCELLED, "interrupt": ReplyStatus.INCOMPLETE}
            assert row["status"] == stopped[row["stop_requested"]]
        if row["incomplete_reason"] == IncompleteReason.WORKER_LOST:
            assert answer

    def check_selected(self, rows: Any, answers: dict[str, str]) -> None:
        """In a turn that has ended with an answer in words, one is selected, and that stays."""
        by_turn: dict[tuple[str, int], list[Any]] = {}
        for row in rows:
            by_turn.setdefault((row["conversation_id"], row["turn"]), []).append(row)
        for candidates in by_turn.values():
            chosen = [row["id"] for row in candidates if row["selected"]]
            assert len(chosen) <= 1
            if all(ReplyStatus(row["status"]).is_terminal for row in candidates):
                assert chosen or not any(row["id"] in answers for row in candidates)
        now_selected = {row["id"] for row in rows if row["selected"]}
        assert self.taken <= now_selected
        self.taken = now_selected


@pytest.mark.parametrize("seed", range(6))
def test_every_promise_holds_after_every_step(seed: int, tables: Tables) -> None:
    walk = Walk(tables, random.Random(seed))
    walk.begin()
    taken = [walk.step() for _ in range(STEPS)]
    assert len(set(taken)) == 9

    # In the end nobody works any more; the sweeper alone ends everything.
    walk.now += 1_000
    walk.expire()
    walk.check()
    assert len(walk.done) == tables.count(replies) > 50
    statuses = {row["status"] for row in tables.rows(replies)}
    assert statuses == {"completed", "incomplete", "failed", "cancelled"}
