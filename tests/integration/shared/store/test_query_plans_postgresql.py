"""What runs all the time can be answered from the indexes on live replies on PostgreSQL too.

A planner that is told to avoid reading whole tables still does so where no index serves: a condition that PostgreSQL
cannot match with a partial index shows as a sequential scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import Connection, event

from shared.database.models import DEFAULT_TENANT
from shared.ids import first_reply_id
from shared.store import budgets, claims, operations, replies, search, search_index, takeovers, usage
from shared.store.budgets import Spender, Window
from shared.store.search import Search
from tests.integration.shared.rows import CAPS, NOW, Tables

pytestmark = pytest.mark.postgresql

LATE = NOW + 10_000_000


def _spent(tables: Tables, spender: Spender) -> object:
    return tables(budgets.spent, DEFAULT_TENANT, spender, "x", window=Window.of(NOW), is_by_month=True)


USES: dict[str, tuple[str, Callable[[Tables, str], object]]] = {
    "claim": ("ix_replies_due", lambda tables, _: (tables.asked(), tables.claim())),
    "has_due": ("ix_replies_due", lambda tables, _: tables(claims.has_due, now=NOW)),
    "has_due but of full models": (
        "ix_replies_due",
        lambda tables, *_: tables(claims.has_due, now=NOW, shut=[("default-model", 0), ("default-model", 1)]),
    ),
    "due_in": ("ix_replies_live_turns", lambda tables, id_: tables(claims.due_in, id_, now=NOW)),
    "live": ("ix_replies_live_turns", lambda tables, id_: tables(replies.live, id_)),
    "turns_ahead": ("ix_replies_live_turns", lambda tables, id_: tables(replies.turns_ahead, id_, 3)),
    "overdue": ("ix_replies_live_deadline", lambda tables, _: tables(takeovers.overdue, now=LATE, limit=9)),
    "held_by": ("ix_replies_held", lambda tables, _: tables(takeovers.held_by, "worker_a")),
    "ownerless": ("ix_replies_held", lambda tables, _: tables(takeovers.ownerless)),
    "ends to count": ("ix_replies_uncounted_end", lambda tables, _: tables(usage.count)),
    "spent by an end user": ("ix_attempts_uncounted_of_", lambda tables, _: _spent(tables, Spender.END_USER)),
    "spent by an end user on days": ("ix_usage_days_of_", lambda tables, _: _spent(tables, Spender.END_USER)),
    "take_over": (
        "ix_replies_held",
        lambda tables, _: tables(takeovers.take_over, "worker_a", last_beat=1, caps=CAPS, now=NOW),
    ),
}


def steps(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The step and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps(below)


def plan_of(tables: Tables, query: Callable[[Tables], object]) -> list[Mapping[str, Any]]:
    """How PostgreSQL goes about each of the statements of the query."""
    statements: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.upper().startswith(("SELECT", "UPDATE", "DELETE")):
            statements.append((statement, parameters))

    event.listen(tables.connection, "before_cursor_execute", note)
    query(tables)
    event.remove(tables.connection, "before_cursor_execute", note)
    found: list[Mapping[str, Any]] = []
    with tables.connection.begin():
        tables.connection.exec_driver_sql("set local enable_seqscan = off")
        for statement, parameters in statements:
            explained = tables.connection.exec_driver_sql(f"explain (format json) {statement}", parameters).scalar_one()
            found += steps(explained[0]["Plan"])
    return found


@pytest.mark.parametrize("name", USES)
def test_what_runs_all_the_time_can_use_the_index_on_live_replies(name: str, tables: Tables) -> None:
    conversation_id = tables.conversation()
    for _ in range(3):
        tables.ask(conversation_id)
    tables.claim(limit=1)
    index, query = USES[name]
    plan = plan_of(tables, lambda tables: query(tables, conversation_id))
    # Of two that cost the same while there is nothing, the planner takes the one that was made first.
    assert any(step.get("Index Name", "").startswith(index) for step in plan), plan
    assert [step for step in plan if (step["Node Type"], step.get("Relation Name")) == ("Seq Scan", "replies")] == []


def test_what_an_operator_looks_at_can_be_found_by_ids_and_among_live_replies(tables: Tables) -> None:
    conversation_id = tables.conversation()
    for _ in range(3):
        tables.ask(conversation_id)
    tables.claim(limit=1)
    since, tenant = first_reply_id(NOW), DEFAULT_TENANT
    for query in (
        lambda tables: tables(operations.accepted, tenant, since=since, limit=9),
        lambda tables: tables(operations.tries, tenant, since=since),
        lambda tables: tables(operations.failed, tenant, since=since, limit=9),
        lambda tables: tables(operations.live, tenant, limit=9),
        lambda tables: tables(operations.count_live, tenant, now=NOW),
    ):
        plan = plan_of(tables, query)
        assert [step for step in plan if step["Node Type"] == "Seq Scan"] == [], plan


def test_a_search_can_use_the_index_of_trigrams(tables: Tables) -> None:
    tables.ask(tables.conversation())
    tables(search_index.index_some)
    plan = plan_of(tables, lambda tables: tables(search.find, Search(DEFAULT_TENANT, ["hello"], 9)))
    assert "ix_search_documents_grams" in {step.get("Index Name") for step in plan}, plan
    read_whole = {step["Relation Name"] for step in plan if step["Node Type"] == "Seq Scan"}
    assert not read_whole & {"search_documents", "messages", "conversations"}, plan
