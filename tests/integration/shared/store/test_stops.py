"""Asking live replies to stop."""

from __future__ import annotations

import pytest
from sqlalchemy import RowMapping

from shared.database.models import DEFAULT_TENANT, conversations
from shared.ending import Ending, Failure
from shared.errors import NotFound
from shared.reply_status import AttemptOutcome, ReplyError, ReplyStatus, StopRequest
from shared.store import claims, erasures, moves, stops
from shared.store.claims import Claim
from shared.store.stops import Stopped
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, NOW, Tables
from tests.integration.shared.store.states import STOPPED

FAILED = Ending(
    ReplyStatus.FAILED, "Half a tho", failure=Failure(ReplyError.UPSTREAM_ERROR, "The model said no.", retryable=True)
)
LATER = NOW + 5


def cancel(tables: Tables, reply_id: str) -> Stopped:
    return tables(stops.cancel, DEFAULT_TENANT, reply_id, now=LATER)


def interrupt(tables: Tables, conversation_id: str) -> Stopped:
    return tables(stops.interrupt, conversation_id, now=LATER)


def put_back(tables: Tables, claim: Claim) -> None:
    """For another try, much later."""
    tables(moves.requeue, claim, outcome=AttemptOutcome.RETRIED, next_at=NOW + 50_000, now=NOW + 1)


def conversation_of(tables: Tables, reply_id: str) -> RowMapping:
    (row,) = tables.rows(conversations, id=tables.reply(reply_id)["conversation_id"])
    return row


# --- cancel ---


def test_a_queued_reply_is_cancelled_at_once(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    before, version = tables.reply(reply_id), conversation_of(tables, reply_id)["version"]
    assert cancel(tables, reply_id) == Stopped([], [reply_id])
    reply = tables.reply(reply_id)
    assert (reply["status"], reply["finished_at"], reply["incomplete_reason"]) == ("cancelled", LATER, None)
    assert reply["stop_requested"] == "cancel"
    assert reply["token"] == before["token"] + 1
    assert conversation_of(tables, reply_id)["version"] > version
    assert tables.claim() == []


def test_a_running_reply_is_left_to_its_worker(tables: Tables, claim: Claim) -> None:
    assert cancel(tables, claim.reply_id) == Stopped([claim.reply_id], [])
    reply = tables.reply(claim.reply_id)
    assert (reply["status"], reply["token"], reply["stop_requested"]) == ("in_progress", claim.token, "cancel")
    assert reply["finished_at"] is None


def test_a_reply_that_waits_for_its_next_try_is_cancelled_and_keeps_its_text(tables: Tables, claim: Claim) -> None:
    put_back(tables, claim)
    assert cancel(tables, claim.reply_id).ended == [claim.reply_id]
    reply = tables.reply(claim.reply_id)
    assert (reply["status"], reply["partial"]) == ("cancelled", "The an")
    assert tables.answers(claim.reply_id) == []
    assert tables.outcomes(claim.reply_id) == ["retried"]


def test_cancelling_twice_is_cancelling_once(tables: Tables, claim: Claim) -> None:
    (queued,) = tables.asked()
    cancel(tables, queued)
    ended, version = tables.reply(queued), conversation_of(tables, queued)["version"]
    assert cancel(tables, queued) == Stopped()
    assert (tables.reply(queued), conversation_of(tables, queued)["version"]) == (ended, version)
    cancel(tables, claim.reply_id)
    stopping = tables.reply(claim.reply_id)
    # The worker is told again, in case it was not heard.
    assert cancel(tables, claim.reply_id).running == [claim.reply_id]
    assert tables.reply(claim.reply_id) == stopping


@pytest.mark.parametrize("ending", [COMPLETED, CUT_SHORT, FAILED])
def test_a_reply_that_has_ended_stays_as_it_is(ending: Ending, tables: Tables, claim: Claim) -> None:
    tables(moves.finish, claim, ending, now=NOW + 1)
    before, row = tables.reply(claim.reply_id), conversation_of(tables, claim.reply_id)
    assert cancel(tables, claim.reply_id) == Stopped()
    assert (tables.reply(claim.reply_id), conversation_of(tables, claim.reply_id)) == (before, row)


@pytest.mark.parametrize("tenant", [DEFAULT_TENANT, "another"])
def test_an_unknown_reply_is_not_found(tenant: str, tables: Tables, claim: Claim) -> None:
    reply_id = "reply_unknown" if tenant == DEFAULT_TENANT else claim.reply_id
    with pytest.raises(NotFound):
        tables(stops.cancel, tenant, reply_id, now=LATER)
    assert tables.reply(claim.reply_id)["stop_requested"] is None


def test_only_the_named_candidate_stops(tables: Tables) -> None:
    one, two, three = tables.asked(n=3)
    cancel(tables, two)
    assert [tables.reply(each)["status"] for each in (one, two, three)] == ["queued", "cancelled", "queued"]
    assert {claim.reply_id for claim in tables.claim()} == {one, three}


def test_the_next_turn_is_due_as_soon_as_the_only_reply_before_it_is_cancelled(tables: Tables) -> None:
    conversation_id = tables.conversation()
    (first,), (second,) = tables.ask(conversation_id), tables.ask(conversation_id)
    assert tables(claims.due_in, conversation_id, now=NOW) == [first]
    cancel(tables, first)
    assert tables(claims.due_in, conversation_id, now=NOW) == [second]


def test_a_cancelled_last_candidate_leaves_an_unfinished_text_to_go_on_from(tables: Tables) -> None:
    one, two = tables.asked(n=2)
    held = {claim.reply_id: claim for claim in tables.claim()}
    tables(moves.finish, held[one], CUT_SHORT, now=NOW + 1)
    put_back(tables, held[two])
    assert not tables.reply(one)["selected"]
    cancel(tables, two)
    assert tables.reply(one)["selected"]


# --- a stop and a move ---


@pytest.mark.parametrize("how", StopRequest)
@pytest.mark.parametrize("ending", [COMPLETED, CUT_SHORT, FAILED])
def test_a_stop_that_comes_before_the_end_wins(ending: Ending, how: StopRequest, tables: Tables, claim: Claim) -> None:
    ask_to_stop(tables, claim, how)
    assert tables(moves.finish, claim, ending, now=LATER) is STOPPED[how]
    reply = tables.reply(claim.reply_id)
    is_kept = how is StopRequest.INTERRUPT
    assert tables.answers(claim.reply_id) == ([ending.content] if is_kept else [])
    assert reply["partial"] == (None if is_kept else ending.content)
    assert reply["incomplete_reason"] == ("interrupted" if is_kept else None)
    assert reply["error_code"] is None
    # An unfinished text is what the conversation goes on from where there is nothing better.
    assert reply["selected"] == is_kept


def ask_to_stop(tables: Tables, claim: Claim, how: StopRequest) -> None:
    if how is StopRequest.CANCEL:
        cancel(tables, claim.reply_id)
    else:
        interrupt(tables, claim.conversation_id)


# --- interrupt ---


def test_a_running_reply_is_asked_to_end_with_what_it_has(tables: Tables, claim: Claim) -> None:
    assert interrupt(tables, claim.conversation_id) == Stopped([claim.reply_id], [])
    reply = tables.reply(claim.reply_id)
    assert (reply["status"], reply["stop_requested"], reply["token"]) == ("in_progress", "interrupt", claim.token)


def test_a_reply_that_waits_for_its_next_try_ends_with_the_text_of_the_last(tables: Tables, claim: Claim) -> None:
    put_back(tables, claim)
    assert interrupt(tables, claim.conversation_id) == Stopped([], [claim.reply_id])
    reply = tables.reply(claim.reply_id)
    assert (reply["status"], reply["incomplete_reason"], reply["finished_at"]) == ("incomplete", "interrupted", LATER)
    assert (reply["partial"], reply["selected"]) == (None, True)
    assert tables.answers(claim.reply_id) == ["The an"]


def test_what_was_never_tried_is_cancelled(tables: Tables) -> None:
    conversation_id = tables.conversation()
    siblings = tables.ask(conversation_id, n=2)
    (later,) = tables.ask(conversation_id)
    (claim,) = tables.claim(limit=1)
    (waiting,) = set(siblings) - {claim.reply_id}
    stopped = interrupt(tables, conversation_id)
    assert (stopped.running, set(stopped.ended)) == ([claim.reply_id], {waiting, later})
    found = [tables.reply(each) for each in (claim.reply_id, waiting, later)]
    assert [row["status"] for row in found] == ["in_progress", "cancelled", "cancelled"]
    assert [row["finished_at"] for row in found] == [None, LATER, LATER]


def test_siblings_end_each_in_its_way(tables: Tables) -> None:
    """One has ended, one runs, one waits for its next try with a text, and one without."""
    conversation_id = tables.conversation()
    ended, runs, has_text, has_none = tables.ask(conversation_id, n=4)
    held = {claim.reply_id: claim for claim in tables.claim()}
    tables(moves.finish, held[ended], FAILED, now=NOW + 1)
    tables(moves.save_partial, held[has_text], "The an")
    put_back(tables, held[has_text])
    put_back(tables, held[has_none])
    before = tables.reply(ended)
    interrupt(tables, conversation_id)
    assert tables.reply(ended) == before
    found = [tables.reply(each) for each in (runs, has_text, has_none)]
    assert [row["status"] for row in found] == ["in_progress", "incomplete", "incomplete"]
    assert (tables.answers(has_text), tables.answers(has_none)) == (["The an"], [])
    # Nothing is chosen before the last has ended.
    assert not any(row["selected"] for row in found)
    tables(moves.finish, held[runs], COMPLETED, now=LATER + 1)
    assert [tables.reply(each)["selected"] for each in (runs, has_text)] == [True, False]


def test_a_cancel_is_not_turned_into_an_interrupt(tables: Tables, claim: Claim) -> None:
    cancel(tables, claim.reply_id)
    assert interrupt(tables, claim.conversation_id).running == [claim.reply_id]
    assert tables.reply(claim.reply_id)["stop_requested"] == "cancel"


def test_a_cancel_comes_before_an_earlier_interrupt(tables: Tables, claim: Claim) -> None:
    interrupt(tables, claim.conversation_id)
    cancel(tables, claim.reply_id)
    assert tables.reply(claim.reply_id)["stop_requested"] == "cancel"


def test_a_quiet_conversation_has_nothing_to_stop(tables: Tables, claim: Claim) -> None:
    tables(moves.finish, claim, COMPLETED, now=NOW + 1)
    assert interrupt(tables, claim.conversation_id) == Stopped()


def test_other_conversations_go_on(tables: Tables, claim: Claim) -> None:
    other = tables.running()
    interrupt(tables, claim.conversation_id)
    assert tables.reply(other.reply_id)["stop_requested"] is None


# --- reading ---


def test_the_state_of_a_stop_is_the_token_and_the_wish(tables: Tables, claim: Claim) -> None:
    assert tables(stops.state, claim.reply_id) == (claim.token, None)
    cancel(tables, claim.reply_id)
    assert tables(stops.state, claim.reply_id) == (claim.token, "cancel")
    tables(erasures.erase_one, DEFAULT_TENANT, claim.conversation_id)
    assert tables(stops.state, claim.reply_id) is None
