"""A turn that goes on from one reply: in its conversation where that is only there for the chain, else in a copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from shared.database.models import DEFAULT_TENANT, conversations, messages, replies
from shared.errors import Busy, NotFound
from shared.store import chains, moves, turns
from shared.store.turns import Ask
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, MINUTE, NOW, Tables

LATER = NOW + 1000
CHAINED: Mapping[str, Any] = {"store": True, "has_conversation": False}


def asked(tables: Tables, conversation_id: str, request: Mapping[str, Any] | None = CHAINED, *, n: int = 1) -> str:
    """A turn in OpenAI's dialect; returns its first reply."""
    ask = Ask("Go on", n, None, "default-model", MINUTE, request=request)
    return str(tables(turns.ask, DEFAULT_TENANT, conversation_id, asked=ask, now=NOW).replies[0]["id"])


def answered(tables: Tables, conversation_id: str, request: Mapping[str, Any] | None = CHAINED) -> str:
    """The same, and its answer."""
    reply_id = asked(tables, conversation_id, request)
    for claim in tables.claim():
        tables(moves.finish, claim, COMPLETED, now=NOW)
    return reply_id


def after(tables: Tables, reply_id: str, *, is_kept: bool = True) -> str:
    return tables(chains.conversation_after, DEFAULT_TENANT, reply_id, is_kept=is_kept, now=LATER)


def kind(tables: Tables, conversation_id: str) -> str:
    (row,) = tables.rows(conversations, id=conversation_id)
    return str(row["kind"])


def texts(tables: Tables, conversation_id: str) -> int:
    return len(tables.rows(messages, conversation_id=conversation_id))


def test_the_tip_of_a_chain_goes_on_where_it_is(tables: Tables) -> None:
    conversation_id = tables.conversation()
    first = answered(tables, conversation_id)
    assert after(tables, first) == conversation_id
    second = asked(tables, conversation_id)
    assert after(tables, second) == conversation_id, "also while it is being made"


def test_what_is_not_the_last_goes_on_in_a_copy_up_to_there(tables: Tables) -> None:
    conversation_id = tables.conversation()
    first, _ = answered(tables, conversation_id), answered(tables, conversation_id)
    copy = after(tables, first)
    assert copy != conversation_id
    assert (texts(tables, conversation_id), texts(tables, copy)) == (4, 2)
    assert kind(tables, copy) == "chat"


@pytest.mark.parametrize("request_", [None, {**CHAINED, "has_conversation": True}], ids=["native", "named"])
def test_a_conversation_that_somebody_named_stays_as_it_is(tables: Tables, request_: Mapping[str, Any] | None) -> None:
    conversation_id = tables.conversation()
    reply_id = answered(tables, conversation_id, request_)
    assert after(tables, reply_id) != conversation_id


def test_what_is_not_to_be_kept_goes_on_in_a_copy_that_is_forgotten(tables: Tables) -> None:
    conversation_id = tables.conversation()
    copy = after(tables, answered(tables, conversation_id), is_kept=False)
    assert copy != conversation_id
    assert kind(tables, copy) == "ephemeral"


def test_the_copy_goes_on_from_the_candidate_that_was_named(tables: Tables) -> None:
    conversation_id = tables.conversation()
    asked(tables, conversation_id, n=2)
    for claim in tables.claim():
        tables(moves.finish, claim, COMPLETED, now=NOW)
    first, second = tables.rows(replies, conversation_id=conversation_id)
    assert (first["selected"], second["selected"]) == (True, False)
    copy = after(tables, second["id"])
    assert [row["candidate"] for row in tables.rows(replies, conversation_id=copy) if row["selected"]] == [2]
    assert after(tables, first["id"]) == conversation_id


def test_what_is_still_being_made_and_has_been_passed_by_cannot_be_copied(tables: Tables) -> None:
    conversation_id = tables.conversation()
    first = asked(tables, conversation_id)
    asked(tables, conversation_id)
    with pytest.raises(Busy):
        after(tables, first)


def test_a_reply_without_a_text_can_be_followed_too(tables: Tables) -> None:
    conversation_id = tables.conversation()
    reply_id = asked(tables, conversation_id)
    (claim,) = tables.claim()
    tables(moves.finish, claim, CUT_SHORT, now=NOW)
    assert after(tables, reply_id) == conversation_id


@pytest.mark.parametrize("change", [{"is_deleted": True}, {"store": False}])
def test_what_nobody_may_have_any_more_cannot_be_followed(tables: Tables, change: Mapping[str, Any]) -> None:
    reply_id = answered(tables, tables.conversation(), {**CHAINED, **change})
    with pytest.raises(NotFound):
        after(tables, reply_id)


def test_what_another_tenant_has_cannot_be_followed(tables: Tables) -> None:
    reply_id = answered(tables, tables.conversation())
    with pytest.raises(NotFound):
        tables(chains.conversation_after, "another", reply_id, is_kept=True, now=LATER)
