"""Failed and cancelled replies that are tried again."""

from __future__ import annotations

import pytest

from shared.database.models import attempts
from shared.ending import Ending
from shared.errors import NotRetryable
from shared.reply_status import AttemptOutcome
from shared.store import moves
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, MINUTE, NOW, Tables
from tests.integration.shared.store.last_turn import FAILED, LATER, cancel, ended, finish, retry, selected


@pytest.mark.parametrize("how", ["failed", "cancelled", "cancelled in the queue"])
def test_a_retried_reply_is_as_if_it_had_never_been_tried(how: str, tables: Tables) -> None:
    if how == "cancelled in the queue":
        (reply_id,) = tables.asked()
        cancel(tables, reply_id)
    else:
        claim = tables.running()
        reply_id = claim.reply_id
        if how == "cancelled":
            cancel(tables, reply_id)
        finish(tables, claim, FAILED)
    before = tables.reply(reply_id)
    retry(tables, reply_id)
    reply = tables.reply(reply_id)
    assert (reply["status"], reply["tries"], reply["model_calls"]) == ("queued", 0, 0)
    assert (reply["available_at"], reply["deadline_at"]) == (LATER, LATER + 2 * MINUTE)
    assert reply["token"] == before["token"] + 1
    emptied = ("stop_requested", "partial", "input_tokens", "output_tokens", "started_at", "finished_at")
    assert [reply[name] for name in (*emptied, "error_code", "error_message", "error_retryable")] == [None] * 9
    # What was done for it stays on record, and the numbers of its attempts go on.
    assert reply["attempt"] == before["attempt"] == len(tables.rows(attempts, reply_id=reply_id))
    (again,) = tables.claim(now=LATER)
    assert (again.reply_id, again.attempt, again.tries) == (reply_id, before["attempt"] + 1, 1)
    finish(tables, again)
    assert tables.answers(reply_id) == [COMPLETED.content]
    assert selected(tables, reply_id) == [reply_id]


@pytest.mark.parametrize("ending", [COMPLETED, CUT_SHORT])
def test_an_answer_is_not_tried_again(ending: Ending, tables: Tables) -> None:
    (reply_id,) = ended(tables, ending)
    before = tables.reply(reply_id)
    with pytest.raises(NotRetryable):
        retry(tables, reply_id)
    assert tables.reply(reply_id) == before


@pytest.mark.parametrize("is_running", [False, True])
def test_a_live_reply_is_not_tried_again(tables: Tables, *, is_running: bool) -> None:
    (reply_id,) = tables.asked()
    if is_running:
        tables.claim()
    cancelling = tables.reply(reply_id)
    with pytest.raises(NotRetryable):
        retry(tables, reply_id)
    assert tables.reply(reply_id) == cancelling


def test_a_reply_is_retried_once(tables: Tables) -> None:
    (reply_id,) = ended(tables, FAILED)
    retry(tables, reply_id)
    with pytest.raises(NotRetryable):
        retry(tables, reply_id)


def test_a_retry_does_not_move_what_was_selected(tables: Tables) -> None:
    failed, completed = ended(tables, FAILED, COMPLETED)
    retry(tables, failed)
    (claim,) = tables.claim(now=LATER)
    finish(tables, claim)
    assert selected(tables, failed) == [completed]


def test_the_worker_of_a_cancelled_reply_cannot_end_the_retried_one(tables: Tables) -> None:
    """It was asked to stop, taken for dead meanwhile, and wakes up much later."""
    claim = tables.running()
    cancel(tables, claim.reply_id)
    tables(
        moves.requeue,
        claim,
        outcome=AttemptOutcome.LOST,
        next_at=NOW,
        now=NOW + 1,
    )
    retry(tables, claim.reply_id)
    with pytest.raises(moves.Lost):
        finish(tables, claim)
    (again,) = tables.claim("worker_b", now=LATER)
    with pytest.raises(moves.Lost):
        finish(tables, claim)
    finish(tables, again, CUT_SHORT)
    assert tables.answers(claim.reply_id) == [CUT_SHORT.content]
