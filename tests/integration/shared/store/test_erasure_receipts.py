"""The receipt of erasing all that an end user said."""

from __future__ import annotations

import pytest

from shared.database.models import (
    DEFAULT_TENANT,
    conversations,
)
from shared.errors import NotFound
from shared.store import erasure_receipts, erasures
from shared.store.erasure_receipts import Logs
from shared.store.erasures import Erased
from tests.integration.shared.rows import MINUTE, NOW, Tables

NO_LOGS = Logs(erased=0, has_left=False, expire_at=NOW + MINUTE)


def of_ada(tables: Tables, count: int, *, tenant_id: str = DEFAULT_TENANT, end_user: str = "ada") -> list[str]:
    return [tables.conversation(tenant_id=tenant_id, end_user=end_user) for _ in range(count)]


def erase_all(tables: Tables, erasure_id: str) -> list[Erased]:
    """Every helping of it."""
    found = []
    while (erased := tables(erasure_receipts.go_on, erasure_id, logs=NO_LOGS, now=NOW)) is not None:
        found.append(erased)
    return found


def test_all_of_an_end_user_goes_and_nothing_of_anybody_else(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "CONVERSATIONS_AT_ONCE", 2)
    hers = of_ada(tables, 5)
    tables.used_key(hers[3])
    tables.used_key(f"{hers[4]}/1")
    others = [*of_ada(tables, 1, tenant_id="another"), *of_ada(tables, 1, end_user="ada/"), tables.conversation()]
    tables.used_key(others[2])
    receipt = tables(erasure_receipts.begin, DEFAULT_TENANT, "ada", now=NOW)
    assert [len(erased.conversation_ids) for erased in erase_all(tables, receipt["id"])] == [2, 2, 1]
    assert sorted(row["id"] for row in tables.rows(conversations)) == sorted(others)
    assert tables.keys() == [others[2]]
    row = tables(erasure_receipts.get, DEFAULT_TENANT, receipt["id"])
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
        tables(erasure_receipts.get, "another", receipt["id"])


def test_what_an_end_user_begins_meanwhile_stays(tables: Tables) -> None:
    of_ada(tables, 1)
    receipt = tables(erasure_receipts.begin, DEFAULT_TENANT, "ada", now=NOW)
    new = of_ada(tables, 1)
    erase_all(tables, receipt["id"])
    assert [row["id"] for row in tables.rows(conversations)] == new


def test_asking_again_meanwhile_goes_on_with_the_same_and_takes_along_what_came_since(tables: Tables) -> None:
    of_ada(tables, 1)
    receipt = tables(erasure_receipts.begin, DEFAULT_TENANT, "ada", now=NOW)
    of_ada(tables, 1)
    assert tables(erasure_receipts.begin, DEFAULT_TENANT, "ada", now=NOW)["id"] == receipt["id"]
    erase_all(tables, receipt["id"])
    assert tables.count(conversations) == 0
    with pytest.raises(NotFound):
        tables(erasure_receipts.begin, DEFAULT_TENANT, "ada", now=NOW)


def test_what_was_left_unfinished_is_found_after_a_while(tables: Tables) -> None:
    of_ada(tables, 1)
    receipt = tables(erasure_receipts.begin, DEFAULT_TENANT, "ada", now=NOW)
    assert tables(erasure_receipts.left_behind, before=NOW) == []
    assert tables(erasure_receipts.left_behind, before=NOW + 1) == [receipt["id"]]
    erase_all(tables, receipt["id"])
    assert tables(erasure_receipts.left_behind, before=NOW + 1) == []


@pytest.mark.parametrize("has_left", [True, False])
def test_a_receipt_says_by_when_event_logs_are_gone_that_may_be_left(tables: Tables, *, has_left: bool) -> None:
    conversation_id = of_ada(tables, 1)[0]
    tables.ask(conversation_id)
    receipt = tables(erasure_receipts.begin, DEFAULT_TENANT, "ada", now=NOW)
    tables(erasure_receipts.go_on, receipt["id"], logs=NO_LOGS, now=NOW)
    assert tables(erasure_receipts.get, DEFAULT_TENANT, receipt["id"])["logs_expire_at"] == NOW + MINUTE
    tables(erasure_receipts.go_on, receipt["id"], logs=Logs(1, has_left=has_left, expire_at=0), now=NOW)
    row = tables(erasure_receipts.get, DEFAULT_TENANT, receipt["id"])
    assert row["logs_expire_at"] == (NOW + MINUTE if has_left else None)
    assert row["erased"]["event_logs"] == 1
