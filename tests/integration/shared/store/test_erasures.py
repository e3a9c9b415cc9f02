"""Erasing: what goes with a conversation, and how much at once."""

from __future__ import annotations

import pytest

from shared.database.models import (
    DEFAULT_TENANT,
    attempts,
    conversations,
    messages,
    replies,
)
from shared.errors import NotFound
from shared.reply_status import ReplyStatus
from shared.store import erasures, moves, turns
from shared.store.turns import Said
from tests.integration.shared.rows import COMPLETED, NOW, Tables


def test_a_conversation_takes_its_messages_replies_and_attempts_along(tables: Tables) -> None:
    claim = tables.running()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    kept = tables.asked()
    erased = tables(erasures.erase_one, DEFAULT_TENANT, claim.conversation_id)
    counted = {"conversations": 1, "messages": 2, "replies": 1, "attempts": 1}
    assert {name: count for name, count in erased.counts.items() if count} == counted
    assert (erased.conversation_ids, erased.reply_ids) == ([claim.conversation_id], [claim.reply_id])
    assert (erased.running, erased.events) == ([], [])
    assert [row["id"] for row in tables.rows(replies)] == kept
    assert (tables.count(messages), tables.count(attempts)) == (1, 0)


def test_a_long_conversation_goes_from_its_beginning_a_little_at_a_time(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "ROWS_AT_ONCE", 4)
    claim = tables.running()
    tables(moves.finish, claim, COMPLETED, now=NOW)
    for _ in range(9):
        tables.ask(claim.conversation_id)
    (held,) = tables.claim()
    before = tables.rows(conversations)[0]
    first = tables(erasures.erase_one, DEFAULT_TENANT, claim.conversation_id)
    assert (first.conversation_ids, first.counts) == ((), {"messages": 5, "replies": 4, "attempts": 2})
    assert first.running == [held.reply_id]
    assert [row["turn"] for row in tables.rows(messages)] == [5, 6, 7, 8, 9, 10]
    (row,) = tables.rows(conversations)
    assert (row["version"], row["updated_at"]) == (before["version"] + 1, before["updated_at"])
    later = [tables(erasures.erase, [claim.conversation_id], unchanged_since=NOW + 1) for _ in range(2)]
    assert [each.counts["messages"] for each in later] == [5, 1]
    assert [tables.count(table) for table in (conversations, messages, replies, attempts)] == [0, 0, 0, 0]


def test_what_is_live_is_told_to_end(tables: Tables) -> None:
    claim = tables.running()
    (waiting,) = tables.ask(claim.conversation_id)
    erased = tables(erasures.erase_one, DEFAULT_TENANT, claim.conversation_id)
    assert erased.running == [claim.reply_id]
    told = {event.reply_id: (event.kind.value, event.cursor.token) for _, event in erased.events}
    assert told == {claim.reply_id: ("reply.cancelled", claim.token + 1), waiting: ("reply.cancelled", 2)}


@pytest.mark.parametrize("whose", ["nobody's", "another tenant's", "erased"])
def test_what_is_not_there_cannot_be_erased(whose: str, tables: Tables) -> None:
    conversation_id = tables.conversation(tenant_id="another" if whose == "another tenant's" else DEFAULT_TENANT)
    if whose == "erased":
        tables(erasures.erase_one, DEFAULT_TENANT, conversation_id)
    with pytest.raises(NotFound):
        tables(erasures.erase_one, DEFAULT_TENANT, "conv_none" if whose == "nobody's" else conversation_id)
    assert tables.count(conversations) == (0 if whose == "erased" else 1)


def test_the_keys_of_a_deleted_conversation_are_known_on(tables: Tables) -> None:
    conversation_id = tables.conversation()
    tables.used_key(f"{conversation_id}/1")
    tables(erasures.erase_one, DEFAULT_TENANT, conversation_id)
    assert tables.keys() == [f"{conversation_id}/1"]


def test_only_what_is_still_unchanged_is_erased_as_old(tables: Tables) -> None:
    old, changed = tables.conversation(), tables.conversation(updated_at=NOW + 5)
    erased = tables(erasures.erase, [old, changed, "conv_none"], unchanged_since=NOW + 1)
    assert erased.conversation_ids == [old]


def test_a_helping_is_as_much_as_one_write_should_erase(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "ROWS_AT_ONCE", 5)
    small, large, last = tables.conversation(), tables.conversation(), tables.conversation()
    for conversation_id, count in ((small, 2), (large, 9)):
        said = [Said("Hello")] * count
        tables(turns.append, DEFAULT_TENANT, conversation_id, said=said, now=NOW)
    assert tables(erasures.helping, [small, last, large]) == [small, last]
    assert tables(erasures.helping, [large, small]) == [large], "never nothing"
    assert tables(erasures.helping, []) == []


def test_no_status_is_changed_by_an_erasure(tables: Tables) -> None:
    """It is nobody's move: a row is there as it was, or gone."""
    claim = tables.running()
    kept = tables.running(worker_id="worker_b")
    tables(erasures.erase_one, DEFAULT_TENANT, claim.conversation_id)
    assert tables.reply(kept.reply_id)["status"] == ReplyStatus.IN_PROGRESS
