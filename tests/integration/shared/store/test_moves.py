"""How a held reply moves on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.database.models import attempts, conversations, messages, replies
from shared.ending import Ending, Failure
from shared.reply_status import AttemptOutcome, IncompleteReason, ReplyError, ReplyStatus, StopRequest
from shared.store import erasures, moves
from shared.store.claims import Claim
from shared.store.moves import Lost
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, NOW, USAGE, Tables
from tests.integration.shared.store.states import STOPPED

FAILURE = Failure(ReplyError.UPSTREAM_ERROR, "The model said no.", retryable=True)
FAILED = Ending(ReplyStatus.FAILED, "Half a tho", USAGE, failure=FAILURE)


@pytest.fixture
def claim(tables: Tables) -> Claim:
    return tables.running()


def finish(tables: Tables, claim: Claim, ending: Ending = COMPLETED) -> ReplyStatus:
    return tables(moves.finish, claim, ending, now=NOW + 5)


def requeue(tables: Tables, claim: Claim, *, give_back_try: bool = False, give_back_call: bool = False) -> ReplyStatus:
    return tables(
        moves.requeue,
        claim,
        outcome=AttemptOutcome.RETRIED,
        next_at=NOW + 50,
        now=NOW + 5,
        give_back_try=give_back_try,
        give_back_call=give_back_call,
        failure=FAILURE,
    )


# --- finish ---


def test_a_completed_reply_puts_its_text_into_the_conversation(tables: Tables, claim: Claim) -> None:
    assert finish(tables, claim) is ReplyStatus.COMPLETED
    (message,) = tables.rows(messages, reply_id=claim.reply_id)
    assert (message["role"], message["content"]) == ("assistant", COMPLETED.content)
    assert (message["turn"], message["position"], message["created_at"]) == (claim.turn, claim.candidate, NOW + 5)
    reply = tables.reply(claim.reply_id)
    assert (reply["status"], reply["worker_id"], reply["finished_at"]) == ("completed", None, NOW + 5)
    assert reply["selected"]


def test_an_incomplete_reply_says_why_and_keeps_its_text(tables: Tables, claim: Claim) -> None:
    assert finish(tables, claim, CUT_SHORT) is ReplyStatus.INCOMPLETE
    assert tables.answers(claim.reply_id) == [CUT_SHORT.content]
    assert tables.reply(claim.reply_id)["incomplete_reason"] == "max_output_tokens"


@pytest.mark.parametrize("ending", [COMPLETED, CUT_SHORT])
def test_an_ending_without_text_makes_no_message(ending: Ending, tables: Tables, claim: Claim) -> None:
    assert finish(tables, claim, replace(ending, content="")) is ending.status
    assert tables.answers(claim.reply_id) == []


def test_a_failed_reply_says_why_and_makes_no_message(tables: Tables, claim: Claim) -> None:
    assert finish(tables, claim, FAILED) is ReplyStatus.FAILED
    reply = tables.reply(claim.reply_id)
    assert (reply["error_code"], reply["error_message"], reply["error_retryable"]) == (
        "upstream_error",
        "The model said no.",
        True,
    )
    assert (reply["partial"], reply["selected"]) == (FAILED.content, False)
    assert tables.answers(claim.reply_id) == []


@pytest.mark.parametrize("ending", [COMPLETED, CUT_SHORT])
def test_the_text_of_a_message_is_stored_once(ending: Ending, tables: Tables, claim: Claim) -> None:
    tables(moves.save_partial, claim, "The an")
    finish(tables, claim, ending)
    assert tables.reply(claim.reply_id)["partial"] is None


@pytest.mark.parametrize("ending", [COMPLETED, CUT_SHORT, FAILED])
def test_the_end_is_written_into_the_attempt(ending: Ending, tables: Tables, claim: Claim) -> None:
    finish(tables, claim, ending)
    (attempt,) = tables.rows(attempts)
    assert (attempt["outcome"], attempt["ended_at"]) == (ending.status, NOW + 5)
    assert (attempt["input_tokens"], attempt["output_tokens"]) == (USAGE.input_tokens, USAGE.output_tokens)
    assert attempt["error_code"] == (ending.failure.code if ending.failure else None)


def test_an_end_moves_the_conversations_version_and_instant(tables: Tables, claim: Claim) -> None:
    (before,) = tables.rows(conversations)
    finish(tables, claim)
    (after,) = tables.rows(conversations)
    assert (after["version"], after["updated_at"]) == (before["version"] + 1, NOW + 5)


# --- a stop that was asked for wins ---


@pytest.mark.parametrize("how", StopRequest)
@pytest.mark.parametrize("ending", [COMPLETED, CUT_SHORT, FAILED])
def test_a_stop_wins_over_every_ending_and_keeps_text_and_usage(
    ending: Ending, how: StopRequest, tables: Tables, claim: Claim
) -> None:
    tables.stop(claim.reply_id, how)
    assert finish(tables, claim, ending) is STOPPED[how]
    reply = tables.reply(claim.reply_id)
    assert (reply["status"], reply["output_tokens"], reply["error_code"]) == (STOPPED[how], USAGE.output_tokens, None)
    interrupted = how is StopRequest.INTERRUPT
    assert reply["incomplete_reason"] == (IncompleteReason.INTERRUPTED if interrupted else None)
    assert tables.answers(claim.reply_id) == ([ending.content] if interrupted else [])
    assert reply["partial"] == (None if interrupted else ending.content)
    assert tables.outcomes(claim.reply_id) == [STOPPED[how]]


def test_an_interrupted_reply_continues_the_conversation(tables: Tables, claim: Claim) -> None:
    tables.stop(claim.reply_id, StopRequest.INTERRUPT)
    finish(tables, claim)
    assert tables.reply(claim.reply_id)["selected"]


# --- which candidate continues the conversation ---


def candidates(tables: Tables, n: int) -> list[Claim]:
    tables.asked(n=n)
    return sorted(tables.claim(), key=lambda claim: claim.candidate)


def selected(tables: Tables) -> list[int]:
    return [row["candidate"] for row in tables.rows(replies, selected=True)]


def test_the_first_to_complete_is_selected(tables: Tables) -> None:
    first, second, third = candidates(tables, 3)
    for claim in (second, first, third):
        finish(tables, claim)
        assert selected(tables) == [2]


def test_an_unfinished_text_is_not_selected_while_another_may_complete(tables: Tables) -> None:
    first, second = candidates(tables, 2)
    finish(tables, first, CUT_SHORT)
    assert selected(tables) == []
    finish(tables, second)
    assert selected(tables) == [2]


def test_with_none_complete_the_first_unfinished_text_is_selected_once_all_have_ended(tables: Tables) -> None:
    first, second, third = candidates(tables, 3)
    finish(tables, third, CUT_SHORT)
    finish(tables, first, replace(CUT_SHORT, content=""))
    assert selected(tables) == []
    finish(tables, second, CUT_SHORT)
    assert selected(tables) == [2]


def test_nothing_is_selected_where_there_is_no_text(tables: Tables) -> None:
    for claim in candidates(tables, 2):
        finish(tables, claim, FAILED)
    assert selected(tables) == []


def test_the_last_one_stopping_while_it_waits_settles_the_turn(tables: Tables) -> None:
    first, second = candidates(tables, 2)
    finish(tables, first, CUT_SHORT)
    tables.stop(second.reply_id, StopRequest.CANCEL)
    requeue(tables, second)
    assert selected(tables) == [1]


# --- requeue ---


def test_a_requeued_reply_waits_for_its_next_try(tables: Tables, claim: Claim) -> None:
    assert requeue(tables, claim) is ReplyStatus.QUEUED
    reply = tables.reply(claim.reply_id)
    assert (reply["status"], reply["available_at"], reply["worker_id"]) == ("queued", NOW + 50, None)
    assert (reply["tries"], reply["model_calls"], reply["token"]) == (1, 1, claim.token + 1)
    assert (reply["finished_at"], reply["error_code"]) == (None, None)


@pytest.mark.parametrize("give_back_try", [False, True])
@pytest.mark.parametrize("give_back_call", [False, True])
def test_what_does_not_count_is_given_back(
    tables: Tables, claim: Claim, *, give_back_try: bool, give_back_call: bool
) -> None:
    requeue(tables, claim, give_back_try=give_back_try, give_back_call=give_back_call)
    reply = tables.reply(claim.reply_id)
    assert (reply["attempt"], reply["tries"], reply["model_calls"]) == (1, 1 - give_back_try, 1 - give_back_call)


def test_a_requeue_is_written_into_the_attempt_with_its_reason(tables: Tables, claim: Claim) -> None:
    requeue(tables, claim)
    (attempt,) = tables.rows(attempts)
    assert (attempt["outcome"], attempt["error_code"], attempt["ended_at"]) == ("retried", "upstream_error", NOW + 5)


@pytest.mark.parametrize("how", StopRequest)
def test_a_reply_that_is_to_stop_ends_instead_of_being_requeued(how: StopRequest, tables: Tables, claim: Claim) -> None:
    tables.stop(claim.reply_id, how)
    assert requeue(tables, claim) is STOPPED[how]
    assert tables.reply(claim.reply_id)["finished_at"] == NOW + 5


def test_an_interrupt_keeps_the_text_so_far_also_where_the_reply_would_be_requeued(
    tables: Tables, claim: Claim
) -> None:
    tables(moves.save_partial, claim, "The an")
    tables.stop(claim.reply_id, StopRequest.INTERRUPT)
    requeue(tables, claim)
    assert tables.answers(claim.reply_id) == ["The an"]
    reply = tables.reply(claim.reply_id)
    assert (reply["incomplete_reason"], reply["selected"], reply["partial"]) == ("interrupted", True, None)


# --- whoever lost the reply writes nothing ---


def lose_to_another_claim(tables: Tables, claim: Claim) -> None:
    requeue(tables, claim)
    tables.claim("worker_b", now=NOW + 50)


def lose_to_the_queue(tables: Tables, claim: Claim) -> None:
    requeue(tables, claim)


def lose_to_the_end(tables: Tables, claim: Claim) -> None:
    finish(tables, claim)


def lose_to_erasure(tables: Tables, claim: Claim) -> None:
    tables(erasures.erase_one, claim.tenant_id, claim.conversation_id)


def save(tables: Tables, claim: Claim) -> None:
    tables(moves.save_partial, claim, "A zombie's words.")


def complete(tables: Tables, claim: Claim) -> None:
    finish(tables, claim, replace(COMPLETED, content="A zombie's words."))


@pytest.mark.parametrize("move", [save, complete, requeue])
@pytest.mark.parametrize("lose", [lose_to_another_claim, lose_to_the_queue, lose_to_the_end, lose_to_erasure])
def test_whoever_lost_the_reply_changes_nothing(
    lose: Callable[[Tables, Claim], None], move: Callable[[Tables, Claim], None], tables: Tables, claim: Claim
) -> None:
    lose(tables, claim)
    every = (conversations, messages, replies, attempts)
    before = [tables.rows(table) for table in every]
    with pytest.raises(Lost):
        move(tables, claim)
    assert [tables.rows(table) for table in every] == before


def test_the_text_so_far_is_kept_without_counting_as_a_change(tables: Tables, claim: Claim) -> None:
    before = tables.rows(conversations)
    tables(moves.save_partial, claim, "The an")
    assert tables.reply(claim.reply_id)["partial"] == "The an"
    assert tables.rows(conversations) == before
