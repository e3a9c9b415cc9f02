"""What runs all the time reads only live replies, whatever the history has grown to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event

from shared.database.models import DEFAULT_TENANT
from shared.ids import first_reply_id
from shared.store import (
    budgets,
    claims,
    delivery_claims,
    messages,
    moves,
    operations,
    replies,
    search,
    takeovers,
    turns,
    usage,
    usage_report,
    webhook_deliveries,
)
from shared.store.budgets import Spender, Window
from shared.store.search import Search
from shared.store.turns import Ask, Said
from shared.store.usage_report import By
from tests.integration.shared.rows import CAPS, COMPLETED, NOW, Tables

pytestmark = pytest.mark.sqlite

Query = Callable[[Tables], object]


def plan_of(tables: Tables, query: Query, *, kinds: tuple[str, ...] = ("SELECT", "UPDATE", "DELETE")) -> list[str]:
    """How SQLite goes about each of the statements of the query, one line a step."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.upper().startswith(kinds):
            statements.append((statement, parameters))

    event.listen(tables.connection, "before_cursor_execute", note)
    query(tables)
    event.remove(tables.connection, "before_cursor_execute", note)
    with tables.connection.begin():
        return [
            step.detail
            for statement, parameters in statements
            for step in tables.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


@pytest.fixture
def conversation(tables: Tables) -> str:
    """A conversation with a turn that has ended, one that runs and one that waits."""
    conversation_id = tables.conversation()
    for _ in range(3):
        tables.ask(conversation_id)
    (first,) = tables.claim()
    tables(moves.finish, first, COMPLETED, now=NOW)
    tables.claim()
    return conversation_id


LATE = NOW + 10_000_000


def _spent(tables: Tables, spender: Spender) -> object:
    return tables(budgets.spent, DEFAULT_TENANT, spender, "x", window=Window.of(NOW), is_by_month=True)


def _report(tables: Tables) -> object:
    days = {"first_day": 0, "last_day": 9}
    return tables(usage_report.page, DEFAULT_TENANT, by=[By.DAY], limit=9, after=None, **days)


USES: dict[str, tuple[str, Callable[[Tables, str], object]]] = {
    "claim": ("ix_replies_due", lambda tables, _: (tables.asked(), tables.claim())),
    "has_due": ("ix_replies_due", lambda tables, _: tables(claims.has_due, now=NOW)),
    "has_due but of full models": (
        "ix_replies_due",
        lambda tables, *_: tables(claims.has_due, now=NOW, shut=[("default-model", 0), ("default-model", 1)]),
    ),
    "due_in": ("ix_replies_live_turns", lambda tables, id_: tables(claims.due_in, id_, now=NOW)),
    "live": ("ix_replies_live_turns", lambda tables, id_: tables(replies.live, id_)),
    "count live": ("ix_replies_live_", lambda tables, _: tables(replies.count_live)),
    "left waiting": ("ix_replies_live_", lambda tables, _: tables(takeovers.left_waiting)),
    "stamp again": ("ix_replies_live_", lambda tables, _: tables(takeovers.stamp_again, now=0)),
    "turns_ahead": ("ix_replies_live_turns", lambda tables, id_: tables(replies.turns_ahead, id_, 3)),
    "overdue": ("ix_replies_live_deadline", lambda tables, _: tables(takeovers.overdue, now=LATE, limit=9)),
    "held_by": ("ix_replies_held", lambda tables, _: tables(takeovers.held_by, "worker_a")),
    "ownerless": ("ix_replies_held", lambda tables, _: tables(takeovers.ownerless)),
    "has_uncounted": ("ix_attempts_uncounted_of_", lambda tables, _: tables(usage.has_uncounted)),
    "count": ("ix_attempts_uncounted_of_", lambda tables, _: tables(usage.count)),
    "ends to count": ("ix_replies_uncounted_end", lambda tables, _: tables(usage.count)),
    "spent with a key": ("ix_attempts_uncounted_of_key", lambda tables, _: _spent(tables, Spender.KEY)),
    "spent with a key on days": ("ix_usage_days_of_key", lambda tables, _: _spent(tables, Spender.KEY)),
    "spent by an end user": ("ix_attempts_uncounted_of_end_user", lambda tables, _: _spent(tables, Spender.END_USER)),
    "spent by an end user on days": ("ix_usage_days_of_end_user", lambda tables, _: _spent(tables, Spender.END_USER)),
    "spent by a tenant": ("usage_days", lambda tables, _: _spent(tables, Spender.TENANT)),
    "report": ("usage_days", lambda tables, _: _report(tables)),
    "take_over": (
        "ix_replies_held",
        lambda tables, _: tables(takeovers.take_over, "worker_a", last_beat=1, caps=CAPS, now=NOW),
    ),
}


DUE = "ix_webhook_deliveries_due"
HELD = "ix_webhook_deliveries_held"
TELLING: dict[str, tuple[str, Callable[[Tables, str], object]]] = {
    "due endpoints": (
        DUE,
        lambda tables, id_: tables(delivery_claims.due_endpoints, busy=[id_], limit=9, now=NOW),
    ),
    "claim": (DUE, lambda tables, id_: tables(delivery_claims.claim, "worker_a", rooms={id_: 4}, now=NOW)),
    "held by": (HELD, lambda tables, _: tables(delivery_claims.held_by, "worker_a")),
    "stranded": (HELD, lambda tables, _: tables(delivery_claims.has_stranded)),
    "take over": (HELD, lambda tables, _: tables(delivery_claims.take_over, now=NOW)),
    "hand back": (HELD, lambda tables, _: tables(delivery_claims.hand_back_all, "worker_a", now=NOW)),
    "page": (
        "ix_webhook_deliveries_of_endpoint",
        lambda tables, id_: tables(webhook_deliveries.page, id_, limit=9, after="delivery_x", statuses=()),
    ),
    "old": (
        "sqlite_autoindex_webhook_deliveries_1",
        lambda tables, _: tables(webhook_deliveries.old, before=NOW, limit=9),
    ),
}


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.usefixtures("conversation")
def test_deliveries_are_found_by_their_indexes(name: str, tables: Tables) -> None:
    endpoint_id = tables.listen()
    tables(webhook_deliveries.add_test, DEFAULT_TENANT, endpoint_id, now=NOW)
    index, query = TELLING[name]
    plan = plan_of(tables, lambda tables: query(tables, endpoint_id), kinds=("WITH", "SELECT", "UPDATE"))
    assert any(index in step for step in plan), plan
    scans = [step for step in plan if step.startswith("SCAN webhook_deliveries") and index not in step]
    assert scans == [], plan
    assert not any("TEMP B-TREE" in step for step in plan if name != "due endpoints"), plan


@pytest.mark.parametrize("name", USES)
def test_what_runs_all_the_time_uses_the_index_on_live_replies(name: str, tables: Tables, conversation: str) -> None:
    index, query = USES[name]
    plan = plan_of(tables, lambda tables: query(tables, conversation))
    assert any(index in step for step in plan), plan
    # A scan of a partial index, of what a subquery found by it, or of what the process said, reads no more than that.
    scans = [
        step
        for step in plan
        if step.startswith("SCAN")
        and not any(word in step for word in ("USING", "subquery", "VALUES", "CONSTANT ROW", "SCAN spent", "SCAN used"))
    ]
    assert scans == [], plan


def test_what_an_operator_looks_at_is_found_by_ids_and_among_live_replies(tables: Tables, conversation: str) -> None:
    """However long the history is: lately is a range of ids, and what is live has an index of its own."""
    assert conversation
    since, tenant = first_reply_id(NOW), DEFAULT_TENANT
    looks: dict[str, tuple[set[str], Query]] = {
        "accepted": (
            {"ix_replies_recent"},
            lambda tables: tables(operations.accepted, tenant, since=since, limit=9),
        ),
        "tries": (
            {"ix_replies_recent", "sqlite_autoindex_attempts_1"},
            lambda tables: tables(operations.tries, tenant, since=since),
        ),
        "failed": (
            {"ix_replies_unanswered"},
            lambda tables: tables(operations.failed, tenant, since=since, limit=9),
        ),
        "live": ({"ix_replies_live_tenant"}, lambda tables: tables(operations.live, tenant, limit=9)),
        "count": (
            {"ix_replies_live_tenant"},
            lambda tables: tables(operations.count_live, tenant, now=NOW),
        ),
    }
    for name, (indexes, query) in looks.items():
        plan = plan_of(tables, query)
        assert [step for step in plan if step.startswith("SCAN")] == [], (name, plan)
        assert {index for index in indexes if any(index in step for step in plan)} == indexes, (name, plan)
        if name == "accepted":
            # As many as are wanted are read, and not all of them to be put in order.
            assert not any("TEMP B-TREE" in step for step in plan), plan


def test_a_claim_with_work_to_do_scans_no_table(tables: Tables, conversation: str) -> None:
    tables.asked()
    plan = plan_of(tables, lambda tables: tables.claim())
    scans = [step for step in plan if step.startswith("SCAN") and "ix_replies_due" not in step]
    assert scans == [], plan
    assert tables(replies.turns_ahead, conversation, 3) == 1


def test_a_claim_among_several_tenants_reads_queues_by_their_index(tables: Tables, conversation: str) -> None:
    tables.asked()
    other = tables.conversation(tenant_id="other")
    tables(turns.ask, "other", other, asked=Ask("Hello", 1, None, "model", 60_000), now=NOW)
    plan = plan_of(tables, lambda tables: tables.claim())
    assert any("ix_replies_due_of_tenant" in step for step in plan), plan
    scans = [step for step in plan if step.startswith("SCAN") and "USING" not in step and "tenants" not in step]
    assert scans == [], plan
    assert tables(replies.turns_ahead, conversation, 3) == 1


def test_a_long_queue_is_read_in_one_go(tables: Tables, conversation: str) -> None:
    """Counting the turns ahead of each row anew took seconds for a conversation with thousands of them."""
    plan = plan_of(tables, lambda tables: tables(replies.live, conversation))
    assert [step for step in plan if "CORRELATED" in step] == []


ONE_ROW: dict[str, Callable[[Tables, str], object]] = {
    "get": lambda tables, _: tables(replies.get, DEFAULT_TENANT, "reply_none"),
    "of_turn": lambda tables, id_: tables(replies.of_turn, id_, 2),
    "message of a turn": lambda tables, id_: tables(messages.of_turn, id_, 2),
    "append": lambda tables, id_: tables(turns.append, DEFAULT_TENANT, id_, said=[Said("m")], now=NOW),
    "history": lambda tables, id_: tables(lambda connection: list(messages.history(connection, id_, 3))),
    "places": lambda tables, id_: tables(replies.places, id_, limit=9),
    "page of messages": lambda tables, id_: tables(messages.page, id_, limit=9, before=(3, 0)),
}


@pytest.mark.parametrize("name", ONE_ROW)
def test_what_is_asked_about_one_thing_scans_and_sorts_nothing(name: str, tables: Tables, conversation: str) -> None:
    plan = plan_of(tables, lambda tables: ONE_ROW[name](tables, conversation))
    assert [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step] == []


_SHORT = ("VIRTUAL TABLE INDEX", "sqlite_master", "search_pending", "anon_1", "CONSTANT ROW", "subquery")


def test_a_search_reads_texts_by_the_index_of_trigrams_only(tables: Tables, conversation: str) -> None:
    plan = plan_of(tables, lambda tables: tables(search.find, Search(DEFAULT_TENANT, ["hello"], 9)))
    assert any("search_index VIRTUAL TABLE INDEX" in step for step in plan), plan
    assert any(step.startswith("SEARCH search_documents USING INTEGER PRIMARY KEY") for step in plan), plan
    # The list of what is not indexed yet is read from its end, so much of it and no more.
    scans = [step for step in plan if step.startswith("SCAN") and not any(name in step for name in _SHORT)]
    assert scans == [], plan
    assert [step for step in plan if "ix_conversations_recent" in step] == [], plan
    assert conversation


def test_a_search_for_two_characters_looks_at_the_last_changed_first(tables: Tables, conversation: str) -> None:
    plan = plan_of(tables, lambda tables: tables(search.find, Search(DEFAULT_TENANT, ["lo"], 9)))
    assert any("conversations USING INDEX ix_conversations_recent" in step for step in plan), plan
    assert any("search_documents USING INDEX ix_search_documents_conversation" in step for step in plan), plan
    assert conversation
