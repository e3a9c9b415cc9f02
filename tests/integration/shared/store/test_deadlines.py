"""Ending what is past its deadline."""

from __future__ import annotations

import pytest

from shared.database.models import attempts
from shared.reply_status import ReplyError, ReplyStatus, StopRequest
from shared.store import conversations, erasures, moves, takeovers
from shared.store.claims import Claim
from shared.store.moves import Lost
from shared.store.takeovers import Moved
from tests.integration.shared.rows import CAPS, COMPLETED, CUT_SHORT, MINUTE, NOW, Tables
from tests.integration.shared.store.states import STOPPED

LATE = NOW + MINUTE


def expire(tables: Tables) -> Moved:
    (row,) = tables(takeovers.overdue, now=LATE, limit=10)
    return tables(takeovers.expire, row, caps=CAPS, now=LATE)


def test_only_live_replies_past_their_deadline_are_overdue_and_the_latest_first(tables: Tables) -> None:
    ended = tables.running()
    tables(moves.finish, ended, COMPLETED, now=NOW)
    late = [tables.ask(tables.conversation(), deadline_ms=deadline)[0] for deadline in (MINUTE, MINUTE - 2)]
    tables.ask(tables.conversation(), deadline_ms=MINUTE + 1)
    assert [row.id for row in tables(takeovers.overdue, now=LATE, limit=10)] == late[::-1]
    assert len(tables(takeovers.overdue, now=LATE, limit=1)) == 1


def test_a_queued_reply_fails_at_its_deadline(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    moved = expire(tables)
    row = tables.reply(reply_id)
    late = ReplyError.DEADLINE_EXCEEDED
    assert moved == Moved(
        reply_id, row["conversation_id"], ReplyStatus.FAILED, token=row["token"], lost=None, code=late
    )
    reply = tables.reply(reply_id)
    assert (reply["error_code"], reply["error_retryable"], reply["finished_at"]) == ("deadline_exceeded", True, LATE)
    assert tables.count(attempts) == 0


def test_a_running_reply_fails_at_its_deadline_and_keeps_what_it_had(tables: Tables, claim: Claim) -> None:
    expire(tables)
    reply = tables.reply(claim.reply_id)
    assert (reply["status"], reply["worker_id"], reply["partial"]) == ("failed", None, "The an")
    assert reply["token"] > claim.token
    assert tables.outcomes(claim.reply_id) == ["failed"]
    with pytest.raises(Lost):
        tables(moves.finish, claim, COMPLETED, now=LATE)


@pytest.mark.parametrize("how", StopRequest)
def test_a_stop_wins_over_the_deadline(how: StopRequest, tables: Tables, claim: Claim) -> None:
    tables.stop(claim.reply_id, how)
    moved = expire(tables)
    assert moved is not None
    assert moved.status is STOPPED[how]
    assert tables.reply(claim.reply_id)["error_code"] is None


def test_an_interrupt_keeps_the_text_so_far_also_at_the_deadline(tables: Tables, claim: Claim) -> None:
    tables.stop(claim.reply_id, StopRequest.INTERRUPT)
    expire(tables)
    assert tables.answers(claim.reply_id) == ["The an"]
    assert tables.reply(claim.reply_id)["selected"]


@pytest.mark.parametrize("how", StopRequest)
def test_a_queued_reply_that_is_to_stop_ends_at_its_deadline_at_the_latest(how: StopRequest, tables: Tables) -> None:
    (reply_id,) = tables.asked()
    tables.stop(reply_id, how)
    moved = expire(tables)
    assert moved is not None
    assert moved.status is STOPPED[how]


def test_a_reply_that_has_moved_since_it_was_found_is_left_alone(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    (row,) = tables(takeovers.overdue, now=LATE, limit=1)
    (claim,) = tables.claim()
    version = tables(conversations.versions, [claim.conversation_id])
    with pytest.raises(Lost):
        tables(takeovers.expire, row, caps=CAPS, now=LATE)
    assert tables.reply(reply_id)["status"] == "in_progress"
    assert tables(conversations.versions, [claim.conversation_id]) == version


def test_a_reply_that_was_erased_since_it_was_found_is_left_alone(tables: Tables, claim: Claim) -> None:
    (row,) = tables(takeovers.overdue, now=LATE, limit=1)
    tables(erasures.erase_one, claim.tenant_id, claim.conversation_id)
    with pytest.raises(Lost):
        tables(takeovers.expire, row, caps=CAPS, now=LATE)


def test_the_end_of_the_last_candidate_settles_the_turn(tables: Tables) -> None:
    tables.asked(n=2)
    (held,) = tables.claim(limit=1)
    tables(moves.finish, held, CUT_SHORT, now=NOW)
    assert not tables.reply(held.reply_id)["selected"]
    expire(tables)
    assert tables.reply(held.reply_id)["selected"]


def test_a_turn_goes_on_after_the_one_before_it_has_expired(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id)
    following = tables.ask(conversation_id, deadline_ms=2 * MINUTE)
    expire(tables)
    assert [claim.reply_id for claim in tables.claim(now=LATE)] == following
