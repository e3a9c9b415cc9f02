"""Moving on what nobody moves any more."""

from __future__ import annotations

import pytest
from sqlalchemy import RowMapping

from shared.database.models import attempts, replies, workers
from shared.database.models import conversations as conversation_table
from shared.reply_status import AttemptOutcome, ReplyStatus, StopRequest
from shared.store import attempts as attempt_rows
from shared.store import candidates, moves, takeovers
from shared.store import workers as worker_rows
from shared.store.claims import Claim
from shared.store.moves import Lost
from shared.store.takeovers import Caps, Held, Moved
from tests.integration.shared.rows import CAPS, COMPLETED, CUT_SHORT, MINUTE, NOW, Tables
from tests.integration.shared.store.states import FAILED, STOPPED


def take_over(tables: Tables, *, last_beat: int | None = 1, caps: Caps = CAPS) -> list[Moved]:
    return tables(takeovers.take_over, "worker_a", last_beat=last_beat, caps=caps, now=NOW + 5)


def test_a_dead_workers_replies_go_back_and_its_row_goes(tables: Tables, claim: Claim) -> None:
    other = tables.running()
    kept = tables.running(worker_id="worker_b")
    moved = take_over(tables)
    assert {(each.reply_id, each.conversation_id, each.status) for each in moved} == {
        (held.reply_id, held.conversation_id, ReplyStatus.QUEUED) for held in (claim, other)
    }
    reply = tables.reply(claim.reply_id)
    assert (reply["status"], reply["worker_id"]) == ("queued", None)
    assert reply["available_at"] <= NOW + 5
    assert reply["token"] > claim.token
    assert tables.reply(kept.reply_id)["worker_id"] == "worker_b"
    assert [row["id"] for row in tables.rows(workers)] == ["worker_b"]


def test_a_lost_try_counts(tables: Tables, claim: Claim) -> None:
    take_over(tables)
    reply = tables.reply(claim.reply_id)
    assert (reply["tries"], reply["model_calls"]) == (1, 1)
    (attempt,) = tables.rows(attempts)
    assert (attempt["outcome"], attempt["error_code"], attempt["ended_at"]) == ("lost", "worker_lost", NOW + 5)


def test_what_a_lost_try_had_said_is_kept_in_its_pieces(tables: Tables, claim: Claim) -> None:
    tables(moves.save_partial, claim, "The an", cursor="2-2", lengths=[4, 2])
    take_over(tables)
    (attempt,) = tables.rows(attempts)
    assert (attempt["lengths"], attempt["text"]) == ([4, 2], "The an")
    tables(attempt_rows.keep_what_was_said, claim.reply_id, 1, lengths=[4], text="The ", tokens=5)
    assert tables.rows(attempts)[0]["text"] == "The an", "the log may know less"
    tables(attempt_rows.keep_what_was_said, claim.reply_id, 1, lengths=[4, 2, 4], text="The answer", tokens=7)
    assert tables.rows(attempts)[0]["text"] == "The answer"
    (again,) = tables.claim("worker_b", now=NOW + 5)
    assert tables.reply(again.reply_id)["partial_lengths"] is None


def test_a_worker_that_has_beaten_since_keeps_everything(tables: Tables, claim: Claim) -> None:
    tables(worker_rows.beat, "worker_a")
    before = tables.reply(claim.reply_id)
    assert take_over(tables) == []
    assert tables.reply(claim.reply_id) == before
    assert tables.count(workers) == 1


def test_the_second_to_take_over_finds_nothing(tables: Tables, claim: Claim) -> None:
    assert [moved.reply_id for moved in take_over(tables)] == [claim.reply_id]
    assert take_over(tables) == []


def test_a_worker_without_a_row_is_taken_over_too(tables: Tables, claim: Claim) -> None:
    tables(worker_rows.remove, "worker_a")
    assert tables(takeovers.ownerless) == ["worker_a"]
    assert [moved.reply_id for moved in take_over(tables, last_beat=None)] == [claim.reply_id]
    assert tables(takeovers.ownerless) == []


def test_a_worker_with_a_row_is_not_ownerless(tables: Tables, claim: Claim) -> None:
    assert tables.reply(claim.reply_id)["worker_id"] == "worker_a"
    assert tables(takeovers.ownerless) == []


@pytest.mark.parametrize("caps", [Caps(tries=1, model_calls=9), Caps(tries=9, model_calls=1)])
def test_a_reply_whose_workers_keep_dying_fails(caps: Caps, tables: Tables, claim: Claim) -> None:
    (moved,) = take_over(tables, caps=caps)
    assert moved.status is ReplyStatus.FAILED
    reply = tables.reply(claim.reply_id)
    assert (reply["error_code"], reply["partial"]) == ("attempts_exhausted", "The an")
    assert tables.outcomes(claim.reply_id) == ["lost"]


def test_a_reply_may_ask_to_keep_what_it_has(tables: Tables, claim: Claim) -> None:
    tables.change_reply(claim.reply_id, on_crash="keep_partial")
    (moved,) = take_over(tables)
    assert moved.status is ReplyStatus.INCOMPLETE
    reply = tables.reply(claim.reply_id)
    assert (reply["incomplete_reason"], reply["selected"]) == ("worker_lost", True)
    assert tables.answers(claim.reply_id) == ["The an"]


def test_a_reply_that_has_nothing_to_keep_starts_again(tables: Tables) -> None:
    claim = tables.running()
    tables.change_reply(claim.reply_id, on_crash="keep_partial")
    (moved,) = take_over(tables)
    assert moved.status is ReplyStatus.QUEUED


def test_a_reply_may_ask_to_fail(tables: Tables, claim: Claim) -> None:
    tables.change_reply(claim.reply_id, on_crash="fail")
    (moved,) = take_over(tables)
    assert moved.status is ReplyStatus.FAILED
    reply = tables.reply(claim.reply_id)
    assert (reply["error_code"], reply["error_retryable"], reply["partial"]) == ("worker_lost", True, "The an")


@pytest.mark.parametrize("how", StopRequest)
@pytest.mark.parametrize("on_crash", ["restart", "keep_partial", "fail"])
@pytest.mark.parametrize("caps", [CAPS, Caps(tries=1, model_calls=1)])
def test_a_stop_wins_over_whatever_a_crash_would_do(
    caps: Caps, on_crash: str, how: StopRequest, tables: Tables, claim: Claim
) -> None:
    tables.change_reply(claim.reply_id, on_crash=on_crash)
    tables.stop(claim.reply_id, how)
    (moved,) = take_over(tables, caps=caps)
    reply = tables.reply(claim.reply_id)
    assert (moved.status, reply["status"], reply["error_code"]) == (STOPPED[how], STOPPED[how], None)
    kept = tables.answers(claim.reply_id) if how is StopRequest.INTERRUPT else [reply["partial"]]
    assert kept == ["The an"]


@pytest.mark.parametrize("on_crash", ["restart", "keep_partial", "fail"])
def test_a_zombie_changes_nothing_after_the_take_over(on_crash: str, tables: Tables, claim: Claim) -> None:
    tables.change_reply(claim.reply_id, on_crash=on_crash)
    take_over(tables)
    tables.claim("worker_b", now=NOW + 5)
    before = [tables.rows(table) for table in (replies, attempts, conversation_table)]
    for ending in (COMPLETED, CUT_SHORT):
        with pytest.raises(Lost):
            tables(moves.finish, claim, ending, now=NOW + 6)
    with pytest.raises(Lost):
        tables(moves.save_partial, claim, "late")
    with pytest.raises(Lost):
        tables(moves.requeue, claim, outcome=AttemptOutcome.HANDED_BACK, next_at=NOW, now=NOW + 6)
    assert [tables.rows(table) for table in (replies, attempts, conversation_table)] == before


def test_a_process_is_told_what_it_holds(tables: Tables, claim: Claim) -> None:
    tables.running(worker_id="worker_b")
    assert tables(takeovers.held_by, "worker_a") == [Held(claim, stop_requested=None)]
    tables.stop(claim.reply_id, StopRequest.CANCEL)
    assert tables(takeovers.held_by, "worker_a") == [Held(claim, StopRequest.CANCEL)]
    tables(moves.finish, claim, COMPLETED, now=NOW)
    assert tables(takeovers.held_by, "worker_a") == []


HOUR = 60 * MINUTE


def due_after_setting_back(tables: Tables, reply_id: str, *, now: int) -> RowMapping:
    """The reply once a sweeper has noticed at `now`, an hour and more before it was queued."""
    assert tables.claim("worker_b", now=now) == []
    assert tables(takeovers.has_stamps_from_future, now=now)
    tables(takeovers.stamp_again, now=now)
    assert not tables(takeovers.has_stamps_from_future, now=now)
    assert [claim.reply_id for claim in tables.claim("worker_b", now=now)] == [reply_id]
    return tables.reply(reply_id)


def test_what_was_asked_for_in_the_future_is_due_with_the_time_it_was_given(tables: Tables) -> None:
    (reply_id,) = tables.ask(tables.conversation(), deadline_ms=10 * MINUTE)
    row = due_after_setting_back(tables, reply_id, now=NOW - HOUR)
    assert (row["created_at"], row["deadline_at"]) == (NOW - HOUR, NOW - HOUR + 10 * MINUTE)


def test_an_old_reply_that_was_queued_anew_in_the_future_is_due_too(tables: Tables) -> None:
    """Somebody had another try of it long after it was asked for."""
    held = tables.running()
    tables(moves.finish, held, FAILED, now=NOW)
    tables(candidates.retry, held.tenant_id, held.reply_id, deadline_ms=10 * MINUTE, now=NOW + 3 * HOUR)
    row = due_after_setting_back(tables, held.reply_id, now=NOW + 2 * HOUR)
    assert (row["created_at"], row["deadline_at"]) == (NOW, NOW + 2 * HOUR + 10 * MINUTE)


def test_what_waits_for_its_next_try_waits_on(tables: Tables, claim: Claim) -> None:
    """A provider may ask for a longer pause than any step of a clock."""
    tables(moves.requeue, claim, outcome=AttemptOutcome.RETRIED, next_at=NOW + HOUR, now=NOW)
    assert not tables(takeovers.has_stamps_from_future, now=NOW)
    tables(takeovers.stamp_again, now=NOW)
    assert tables.reply(claim.reply_id)["available_at"] == NOW + HOUR


def test_what_was_tried_before_the_clock_was_set_back_waits_for_its_next_try(tables: Tables) -> None:
    """What counts is the try before: an earlier one ended in what is the future now."""
    claim = tables.running()
    tables(moves.requeue, claim, outcome=AttemptOutcome.RETRIED, next_at=NOW, now=NOW)
    now = NOW - HOUR
    tables(takeovers.stamp_again, now=now)
    (claim,) = tables.claim(now=now)
    tables(moves.requeue, claim, outcome=AttemptOutcome.RETRIED, next_at=now + MINUTE, now=now)
    assert not tables(takeovers.has_stamps_from_future, now=now)
    tables(takeovers.stamp_again, now=now)
    assert tables.reply(claim.reply_id)["available_at"] == now + MINUTE
