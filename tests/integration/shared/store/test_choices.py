"""Which candidate a conversation goes on from."""

from __future__ import annotations

import pytest

from shared.database.models import DEFAULT_TENANT
from shared.ending import Ending
from shared.errors import NotSelectable
from shared.reply_status import ReplyStatus
from shared.store import candidates, messages, moves
from shared.store.candidates import Again
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, MINUTE, NOW, USAGE, Tables
from tests.integration.shared.store.last_turn import (
    FAILED,
    LATER,
    cancel,
    choose,
    ended,
    finish,
    regenerate,
    retry,
    selected,
)


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
