"""Another candidate beside those that a turn has."""

from __future__ import annotations

import pytest

from shared.database.models import DEFAULT_TENANT, replies
from shared.ending import Ending
from shared.errors import TooManyCandidates
from shared.reply_status import OnCrash
from shared.store import messages, turns
from shared.store.candidates import MAX_CANDIDATES, Again
from shared.store.turns import Ask
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, MINUTE, NOW, Tables
from tests.integration.shared.store.last_turn import FAILED, LATER, cancel, ended, finish, regenerate, selected, version


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
