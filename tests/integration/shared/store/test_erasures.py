"""Erasing: what goes with a conversation, how much at once, and the receipt of all that an end user said."""

from __future__ import annotations

import pytest

from shared.database.models import (
    DEFAULT_TENANT,
    attempts,
    conversations,
    idempotency_keys,
    messages,
    replies,
)
from shared.errors import NotFound
from shared.reply_status import ReplyStatus
from shared.store import erasures, idempotency, moves, turns
from shared.store.erasures import Erased, Logs
from shared.store.idempotency import KeyedRequest
from shared.store.turns import Said
from tests.integration.shared.rows import COMPLETED, MINUTE, NOW, Tables

NO_LOGS = Logs(erased=0, has_left=False, expire_at=NOW + MINUTE)


def store_key(tables: Tables, resource_id: str) -> None:
    request = KeyedRequest(DEFAULT_TENANT, resource_id, "POST", "/", "hash", MINUTE)
    tables(idempotency.remember, request, resource_type="turn", resource_id=resource_id, now=NOW)


def keys(tables: Tables) -> list[str]:
    return [row["key"] for row in tables.rows(idempotency_keys)]


def of_ada(tables: Tables, count: int, *, tenant_id: str = DEFAULT_TENANT, end_user: str = "ada") -> list[str]:
    return [tables.conversation(tenant_id=tenant_id, end_user=end_user) for _ in range(count)]


def erase_all(tables: Tables, erasure_id: str) -> list[Erased]:
    """Every helping of it."""
    found = []
    while (erased := tables(erasures.go_on, erasure_id, logs=NO_LOGS, now=NOW)) is not None:
        found.append(erased)
    return found


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
    store_key(tables, f"{conversation_id}/1")
    tables(erasures.erase_one, DEFAULT_TENANT, conversation_id)
    assert keys(tables) == [f"{conversation_id}/1"]


def test_only_what_is_still_unchanged_is_erased_as_old(tables: Tables) -> None:
    old, changed = tables.conversation(), tables.conversation(updated_at=NOW + 5)
    erased = tables(erasures.erase, [old, changed, "conv_none"], unchanged_since=NOW + 1)
    assert erased.conversation_ids == [old]


def test_old_ones_are_found_whose_ever_they_are_unless_something_is_under_way(tables: Tables) -> None:
    old = {tables.conversation(tenant_id=tenant, kind=kind) for tenant in "abc" for kind in ("chat", "ephemeral")}
    tables.conversation(tenant_id="b", updated_at=NOW + 5)
    tables.asked()
    found: set[str] = set()
    while more := tables(erasures.old, before=NOW + 1):
        assert not found & set(more)
        found |= set(more)
        tables(erasures.erase, more, unchanged_since=NOW + 1)
    assert found == old
    assert tables.count(conversations) == 2


def test_a_helping_is_as_much_as_one_write_should_erase(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "ROWS_AT_ONCE", 5)
    small, large, last = tables.conversation(), tables.conversation(), tables.conversation()
    for conversation_id, count in ((small, 2), (large, 9)):
        said = [Said("Hello")] * count
        tables(turns.append, DEFAULT_TENANT, conversation_id, said=said, now=NOW)
    assert tables(erasures.helping, [small, last, large]) == [small, last]
    assert tables(erasures.helping, [large, small]) == [large], "never nothing"
    assert tables(erasures.helping, []) == []


def test_all_of_an_end_user_goes_and_nothing_of_anybody_else(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "CONVERSATIONS_AT_ONCE", 2)
    hers = of_ada(tables, 5)
    store_key(tables, hers[3])
    store_key(tables, f"{hers[4]}/1")
    others = [*of_ada(tables, 1, tenant_id="another"), *of_ada(tables, 1, end_user="ada/"), tables.conversation()]
    store_key(tables, others[2])
    receipt = tables(erasures.begin, DEFAULT_TENANT, "ada", now=NOW)
    assert [len(erased.conversation_ids) for erased in erase_all(tables, receipt["id"])] == [2, 2, 1]
    assert sorted(row["id"] for row in tables.rows(conversations)) == sorted(others)
    assert keys(tables) == [others[2]]
    row = tables(erasures.get, DEFAULT_TENANT, receipt["id"])
    assert row["erased"] == {
        "conversations": 5,
        "messages": 0,
        "replies": 0,
        "attempts": 0,
        "webhook_deliveries": 0,
        "idempotency_keys": 2,
        "event_logs": 0,
    }
    assert (row["finished_at"], row["end_user"], row["up_to"]) == (NOW, None, None)
    with pytest.raises(NotFound):
        tables(erasures.get, "another", receipt["id"])


def test_what_an_end_user_begins_meanwhile_stays(tables: Tables) -> None:
    of_ada(tables, 1)
    receipt = tables(erasures.begin, DEFAULT_TENANT, "ada", now=NOW)
    new = of_ada(tables, 1)
    erase_all(tables, receipt["id"])
    assert [row["id"] for row in tables.rows(conversations)] == new


def test_asking_again_meanwhile_goes_on_with_the_same_and_takes_along_what_came_since(tables: Tables) -> None:
    of_ada(tables, 1)
    receipt = tables(erasures.begin, DEFAULT_TENANT, "ada", now=NOW)
    of_ada(tables, 1)
    assert tables(erasures.begin, DEFAULT_TENANT, "ada", now=NOW)["id"] == receipt["id"]
    erase_all(tables, receipt["id"])
    assert tables.count(conversations) == 0
    with pytest.raises(NotFound):
        tables(erasures.begin, DEFAULT_TENANT, "ada", now=NOW)


def test_what_was_left_unfinished_is_found_after_a_while(tables: Tables) -> None:
    of_ada(tables, 1)
    receipt = tables(erasures.begin, DEFAULT_TENANT, "ada", now=NOW)
    assert tables(erasures.left_behind, before=NOW) == []
    assert tables(erasures.left_behind, before=NOW + 1) == [receipt["id"]]
    erase_all(tables, receipt["id"])
    assert tables(erasures.left_behind, before=NOW + 1) == []


@pytest.mark.parametrize("has_left", [True, False])
def test_a_receipt_says_by_when_event_logs_are_gone_that_may_be_left(tables: Tables, *, has_left: bool) -> None:
    conversation_id = of_ada(tables, 1)[0]
    tables.ask(conversation_id)
    receipt = tables(erasures.begin, DEFAULT_TENANT, "ada", now=NOW)
    tables(erasures.go_on, receipt["id"], logs=NO_LOGS, now=NOW)
    assert tables(erasures.get, DEFAULT_TENANT, receipt["id"])["logs_expire_at"] == NOW + MINUTE
    tables(erasures.go_on, receipt["id"], logs=Logs(1, has_left=has_left, expire_at=0), now=NOW)
    row = tables(erasures.get, DEFAULT_TENANT, receipt["id"])
    assert row["logs_expire_at"] == (NOW + MINUTE if has_left else None)
    assert row["erased"]["event_logs"] == 1


def test_no_status_is_changed_by_an_erasure(tables: Tables) -> None:
    """It is nobody's move: a row is there as it was, or gone."""
    claim = tables.running()
    kept = tables.running(worker_id="worker_b")
    tables(erasures.erase_one, DEFAULT_TENANT, claim.conversation_id)
    assert tables.reply(kept.reply_id)["status"] == ReplyStatus.IN_PROGRESS
