"""The candidates of a conversation's last turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.database.models import DEFAULT_TENANT, attempts, conversations, replies
from shared.ending import Ending, Failure
from shared.errors import NotFound, NotLastTurn, NotRetryable, NotSelectable, TooManyCandidates
from shared.reply_status import AttemptOutcome, OnCrash, ReplyError, ReplyStatus
from shared.store import candidates, messages, moves, stops, turns
from shared.store.candidates import MAX_CANDIDATES, Again
from shared.store.claims import Claim
from shared.store.turns import Ask, Said
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, MINUTE, NOW, USAGE, Tables

FAILED = Ending(
    ReplyStatus.FAILED,
    "Half a tho",
    USAGE,
    failure=Failure(ReplyError.UPSTREAM_ERROR, "The model said no.", retryable=True),
)
AS_IT_WAS = Again(deadline_ms=MINUTE)
LATER = NOW + 100


def regenerate(tables: Tables, reply_id: str, again: Again = AS_IT_WAS, *, tenant: str = DEFAULT_TENANT) -> str:
    return tables(candidates.regenerate, tenant, reply_id, again=again, now=LATER)


def retry(tables: Tables, reply_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
    tables(candidates.retry, tenant, reply_id, deadline_ms=2 * MINUTE, now=LATER)


def choose(tables: Tables, reply_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
    tables(candidates.choose, tenant, reply_id, now=LATER)


def cancel(tables: Tables, reply_id: str) -> None:
    tables(stops.cancel, DEFAULT_TENANT, reply_id, now=NOW + 2)


def finish(tables: Tables, claim: Claim, ending: Ending = COMPLETED) -> None:
    tables(moves.finish, claim, ending, now=NOW + 1)


def ended(tables: Tables, *endings: Ending) -> list[str]:
    """The replies of a new conversation's first turn, ended so, in this order."""
    reply_ids = tables.asked(n=len(endings))
    held = {claim.reply_id: claim for claim in tables.claim()}
    for reply_id, ending in zip(reply_ids, endings, strict=True):
        finish(tables, held[reply_id], ending)
    return reply_ids


def selected(tables: Tables, reply_id: str) -> list[str]:
    """The replies of the conversation that it goes on from."""
    conversation_id = tables.reply(reply_id)["conversation_id"]
    return [row["id"] for row in tables.rows(replies, conversation_id=conversation_id, selected=True)]


def version(tables: Tables, reply_id: str) -> int:
    (row,) = tables.rows(conversations, id=tables.reply(reply_id)["conversation_id"])
    return int(row["version"])


# --- what holds for each ---

Act = Callable[..., Any]


@pytest.mark.parametrize("act", [regenerate, retry, choose])
def test_an_unknown_reply_and_anothers_are_not_found(act: Act, tables: Tables) -> None:
    (reply_id,) = ended(tables, FAILED)
    before = tables.rows(replies)
    with pytest.raises(NotFound):
        act(tables, "reply_unknown")
    with pytest.raises(NotFound):
        act(tables, reply_id, tenant="another")
    assert tables.rows(replies) == before


@pytest.mark.parametrize("act", [regenerate, retry, choose])
@pytest.mark.parametrize("go_on", ["ask", "append"])
def test_only_the_last_turn_can_change(act: Act, go_on: str, tables: Tables) -> None:
    """Also if nothing but an appended message came after it."""
    (reply_id,) = ended(tables, FAILED if act is retry else COMPLETED)
    conversation_id = tables.reply(reply_id)["conversation_id"]
    if go_on == "ask":
        tables.ask(conversation_id)
    else:
        tables(turns.append, DEFAULT_TENANT, conversation_id, said=[Said("And?")], now=NOW + 1)
    rows, before = tables.rows(replies), version(tables, reply_id)
    with pytest.raises(NotLastTurn):
        act(tables, reply_id)
    assert (tables.rows(replies), version(tables, reply_id)) == (rows, before)


@pytest.mark.parametrize("act", [regenerate, retry, choose])
def test_each_is_a_change_of_the_conversation(act: Act, tables: Tables) -> None:
    (reply_id,) = ended(tables, FAILED if act is retry else COMPLETED)
    before = version(tables, reply_id)
    act(tables, reply_id)
    assert version(tables, reply_id) > before


# --- regenerate ---


def test_a_new_candidate_is_made_as_the_one_before(tables: Tables) -> None:
    asked = Ask(
        "Hello", 1, "its-model", "default", MINUTE, on_crash=OnCrash.FAIL, parameters={"seed": 7}, metadata={"a": "b"}
    )
    turn = tables(turns.ask, DEFAULT_TENANT, tables.conversation(), asked=asked, now=NOW)
    new = tables.reply(regenerate(tables, turn.replies[0]["id"]))
    assert (new["turn"], new["candidate"], new["status"], new["attempt"]) == (1, 2, "queued", 0)
    assert (new["model"], new["parameters"], new["metadata"]) == ("its-model", {"seed": 7}, {"a": "b"})
    assert (new["on_crash"], new["selected"], new["stop_requested"]) == ("fail", False, None)
    assert (new["created_at"], new["available_at"], new["deadline_at"]) == (LATER, LATER, LATER + MINUTE)


def test_what_is_given_is_different(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    tables.change_reply(reply_id, parameters={"seed": 7, "top_p": 0.5}, metadata={"a": "b"})
    again = Again(MINUTE, "another", {"top_p": 1.0}, {}, OnCrash.KEEP_PARTIAL)
    new = tables.reply(regenerate(tables, reply_id, again))
    assert (new["model"], new["parameters"], new["metadata"]) == ("another", {"seed": 7, "top_p": 1.0}, {})
    assert new["on_crash"] == "keep_partial"


def test_a_completed_regeneration_takes_the_place(tables: Tables) -> None:
    (first,) = ended(tables, COMPLETED)
    second = regenerate(tables, first)
    assert selected(tables, first) == [first]
    (claim,) = tables.claim(now=LATER)
    assert selected(tables, first) == [first]
    finish(tables, claim)
    assert selected(tables, first) == [second]


@pytest.mark.parametrize("ending", [CUT_SHORT, FAILED])
def test_a_regeneration_without_a_whole_answer_changes_nothing(ending: Ending, tables: Tables) -> None:
    (first,) = ended(tables, COMPLETED)
    regenerate(tables, first)
    (claim,) = tables.claim(now=LATER)
    finish(tables, claim, ending)
    assert selected(tables, first) == [first]


def test_a_cancelled_regeneration_changes_nothing(tables: Tables) -> None:
    """Also if the model was done before its worker could hear of it."""
    (first,) = ended(tables, COMPLETED)
    second = regenerate(tables, first)
    (claim,) = tables.claim(now=LATER)
    cancel(tables, second)
    finish(tables, claim)
    assert selected(tables, first) == [first]


def test_the_last_regeneration_to_complete_is_the_one(tables: Tables) -> None:
    (first,) = ended(tables, COMPLETED)
    second, third = regenerate(tables, first), regenerate(tables, first)
    held = {claim.reply_id: claim for claim in tables.claim(now=LATER)}
    finish(tables, held[third])
    assert selected(tables, first) == [third]
    finish(tables, held[second])
    assert selected(tables, first) == [second]


def test_a_running_sibling_does_not_take_the_place_of_a_regeneration(tables: Tables) -> None:
    one, two = tables.asked(n=2)
    new = regenerate(tables, one)
    held = {claim.reply_id: claim for claim in tables.claim(now=LATER)}
    finish(tables, held[new])
    finish(tables, held[two])
    assert selected(tables, one) == [new]


def test_a_turn_has_eight_candidates_at_most(tables: Tables) -> None:
    (first,) = tables.asked()
    for number in range(2, MAX_CANDIDATES + 1):
        assert tables.reply(regenerate(tables, first))["candidate"] == number
    before = version(tables, first)
    with pytest.raises(TooManyCandidates):
        regenerate(tables, first)
    assert (tables.count(replies), version(tables, first)) == (MAX_CANDIDATES, before)


def test_a_regeneration_answers_the_same_history(tables: Tables) -> None:
    """What another candidate of the turn said is no part of it."""
    (first,) = ended(tables, COMPLETED)
    conversation_id = tables.reply(first)["conversation_id"]
    tables.ask(conversation_id, "And?", now=NOW + 2)
    (claim,) = tables.claim(now=LATER)
    finish(tables, claim)
    regenerate(tables, claim.reply_id)
    said = tables(lambda connection: list(messages.history(connection, conversation_id, 2)))
    assert said == [(2, "user", "And?"), (1, "assistant", COMPLETED.content), (1, "user", "Hello")]


# --- retry ---


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


# --- select ---


def test_the_chosen_one_is_the_only_one(tables: Tables) -> None:
    first, second = ended(tables, COMPLETED, COMPLETED)
    assert selected(tables, first) == [first]
    choose(tables, second)
    choose(tables, second)
    assert selected(tables, first) == [second]


def test_an_unfinished_text_may_be_chosen(tables: Tables) -> None:
    first, second = ended(tables, COMPLETED, CUT_SHORT)
    choose(tables, second)
    assert selected(tables, first) == [second]


def test_what_has_no_text_may_not_be_chosen(tables: Tables) -> None:
    no_text = Ending(ReplyStatus.INCOMPLETE, "", USAGE, incomplete_reason=CUT_SHORT.incomplete_reason)
    completed, *others = ended(tables, COMPLETED, FAILED, no_text)
    (queued,) = tables.asked()
    (cancelled,) = tables.asked()
    cancel(tables, cancelled)
    for reply_id in (*others, queued, cancelled):
        with pytest.raises(NotSelectable):
            choose(tables, reply_id)
    assert selected(tables, completed) == [completed]


def test_a_running_reply_may_not_be_chosen(tables: Tables) -> None:
    claim = tables.running()
    tables(moves.save_partial, claim, "The an")
    with pytest.raises(NotSelectable):
        choose(tables, claim.reply_id)


def test_a_choice_holds_against_what_is_still_under_way(tables: Tables) -> None:
    first, second = tables.asked(n=2)
    regenerated = regenerate(tables, first)
    held = {claim.reply_id: claim for claim in tables.claim(now=LATER)}
    finish(tables, held[first], CUT_SHORT)
    choose(tables, first)
    for late in (second, regenerated):
        finish(tables, held[late])
    assert selected(tables, first) == [first]


def test_a_regeneration_after_a_choice_takes_its_place(tables: Tables) -> None:
    first, second = ended(tables, COMPLETED, COMPLETED)
    choose(tables, second)
    third = regenerate(tables, first)
    (claim,) = tables.claim(now=LATER)
    finish(tables, claim)
    assert selected(tables, first) == [third]


def test_the_next_prompt_follows_from_the_chosen_one(tables: Tables) -> None:
    first, second = ended(tables, COMPLETED, CUT_SHORT)
    choose(tables, second)
    conversation_id = tables.reply(first)["conversation_id"]
    tables.ask(conversation_id, "And?", now=LATER)
    said = tables(lambda connection: list(messages.history(connection, conversation_id, 2)))
    assert said == [(2, "user", "And?"), (1, "assistant", CUT_SHORT.content), (1, "user", "Hello")]


def test_a_choice_holds_against_a_regeneration_that_failed_and_is_tried_again(tables: Tables) -> None:
    claim = tables.running()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    again = tables(candidates.regenerate, DEFAULT_TENANT, claim.reply_id, again=Again(MINUTE), now=NOW)
    (held,) = tables.claim()
    tables(moves.finish, held, Ending(ReplyStatus.FAILED), now=NOW)
    tables(candidates.choose, DEFAULT_TENANT, claim.reply_id, now=NOW)
    tables(candidates.retry, DEFAULT_TENANT, again, deadline_ms=MINUTE, now=NOW)
    (held,) = tables.claim()
    tables(moves.finish, held, COMPLETED, now=NOW)
    assert (tables.reply(claim.reply_id)["selected"], tables.reply(again)["selected"]) == (True, False)


@pytest.mark.parametrize("is_chosen", [False, True])
def test_a_whole_answer_takes_the_place_of_an_unfinished_one_unless_that_was_chosen(
    is_chosen: bool,  # noqa: FBT001  pytest passes it by name
    tables: Tables,
) -> None:
    unfinished, failed = tables.asked(n=2)
    for held in tables.claim():
        ending = CUT_SHORT if held.reply_id == unfinished else Ending(ReplyStatus.FAILED)
        tables(moves.finish, held, ending, now=NOW)
    assert tables.reply(unfinished)["selected"]
    if is_chosen:
        tables(candidates.choose, DEFAULT_TENANT, unfinished, now=NOW)
    tables(candidates.retry, DEFAULT_TENANT, failed, deadline_ms=MINUTE, now=NOW)
    (held,) = tables.claim()
    tables(moves.finish, held, COMPLETED, now=NOW)
    assert (tables.reply(unfinished)["selected"], tables.reply(failed)["selected"]) == (is_chosen, not is_chosen)


def test_a_whole_answer_takes_the_place_of_an_unfinished_regeneration_too(tables: Tables) -> None:
    """Nobody chose that one: it was only the first with a text."""
    failed = tables.running()
    finish(tables, failed, FAILED)
    unfinished = regenerate(tables, failed.reply_id)
    (held,) = tables.claim(now=LATER)
    finish(tables, held, CUT_SHORT)
    assert tables.reply(unfinished)["selected"]
    retry(tables, failed.reply_id)
    (held,) = tables.claim(now=LATER)
    finish(tables, held)
    assert (tables.reply(unfinished)["selected"], tables.reply(failed.reply_id)["selected"]) == (False, True)
