"""Budgets: who has used up what, and what finding out costs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import event

from shared.budgets import Budgets
from shared.clock import DAY_MS
from shared.database.models import DEFAULT_TENANT
from shared.ending import Ending, Usage
from shared.reply_status import ReplyStatus
from shared.store import budgets, moves, turns, usage
from shared.store.budgets import Limits, Spender, Window
from shared.store.turns import Ask
from tests.integration.shared.rows import MINUTE, Tables

NOON = int(datetime(2026, 2, 15, 12, tzinfo=UTC).timestamp() * 1000)


def spend(tables: Tables, tokens: int, *, now: int = NOON, key: str | None = "key_1", end_user: str = "ada") -> None:
    conversation_id = tables.conversation(end_user=end_user)
    asked = Ask("Hello", 1, "model", "", MINUTE, key_id=key)
    tables(turns.ask, DEFAULT_TENANT, conversation_id, asked=asked, now=now)
    (claim,) = tables.claim(now=now)
    tables(moves.finish, claim, Ending(ReplyStatus.COMPLETED, "Hello", Usage(tokens, 0)), now=now)


def limit(
    tables: Tables, spender: Spender, subject: str = "", *, day: int | None = None, month: int | None = None
) -> None:
    tables(budgets.put, DEFAULT_TENANT, spender, subject, limits=Limits(day, month), now=NOON)


def is_exceeded(
    tables: Tables,
    *,
    key: str | None = "key_1",
    end_user: str | None = "ada",
    now: int = NOON,
    tenant: str = DEFAULT_TENANT,
) -> bool:
    return tables(Budgets().exceeded, tenant, key_id=key, end_user=end_user, now=now) is not None


def test_what_was_used_today_and_this_month_counts_as_soon_as_it_ended(tables: Tables) -> None:
    spend(tables, 60, now=NOON - DAY_MS)
    tables(usage.count)
    spend(tables, 40)
    for _ in range(2):
        for whose, subject in ((Spender.TENANT, ""), (Spender.KEY, "key_1"), (Spender.END_USER, "ada")):
            for limits, expected in (
                ({"day": 41}, False),
                ({"day": 40}, True),
                ({"month": 101}, False),
                ({"month": 100}, True),
                ({"day": 100, "month": 100}, True),
            ):
                limit(tables, whose, subject, **limits)
                assert is_exceeded(tables) is expected, (whose, limits)
            tables(budgets.remove, DEFAULT_TENANT, whose, subject)
        tables(usage.count)


def test_a_budget_is_whole_again_when_its_window_ends(tables: Tables) -> None:
    spend(tables, 100)
    limit(tables, Spender.KEY, "key_1", day=100)
    found = tables(Budgets().exceeded, DEFAULT_TENANT, key_id="key_1", end_user=None, now=NOON)
    assert found is not None
    assert found.until == NOON + DAY_MS // 2
    assert is_exceeded(tables, now=found.until - 1)
    assert not is_exceeded(tables, now=found.until)
    limit(tables, Spender.KEY, "key_1", month=100)
    assert is_exceeded(tables, now=NOON + 13 * DAY_MS)
    assert not is_exceeded(tables, now=NOON + 14 * DAY_MS)


def test_it_is_the_budget_of_one(tables: Tables) -> None:
    spend(tables, 100)
    limit(tables, Spender.KEY, "key_1", day=100)
    limit(tables, Spender.END_USER, "ada", day=100)
    assert not is_exceeded(tables, key="key_2", end_user="bob")
    assert not is_exceeded(tables, key=None, end_user=None)
    assert is_exceeded(tables, key=None)
    assert is_exceeded(tables, end_user=None)
    assert not is_exceeded(tables, tenant="other")


def test_an_end_users_own_budget_goes_before_each_ones(tables: Tables) -> None:
    spend(tables, 100)
    limit(tables, Spender.EACH_END_USER, day=100)
    assert is_exceeded(tables)
    assert not is_exceeded(tables, end_user="bob")
    limit(tables, Spender.END_USER, "ada", day=101)
    assert not is_exceeded(tables)


@pytest.mark.parametrize(
    ("date", "month_ends"),
    [((2026, 1, 31), (2026, 2, 1)), ((2026, 12, 31), (2027, 1, 1)), ((2028, 2, 29), (2028, 3, 1))],
)
def test_a_month_is_one_of_the_calendar(date: tuple[int, int, int], month_ends: tuple[int, int, int]) -> None:
    window = Window.of(int(datetime(*date, 23, 59, 59, tzinfo=UTC).timestamp() * 1000))
    first = datetime(date[0], date[1], 1, tzinfo=UTC)
    assert window.first_of_month * DAY_MS == int(first.timestamp() * 1000)
    assert window.month_ends_at == int(datetime(*month_ends, tzinfo=UTC).timestamp() * 1000)
    assert window.day_ends_at == window.month_ends_at


def test_looking_again_costs_nothing_for_two_seconds(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("shared.budgets.time.monotonic", lambda: clock[0])
    seen: list[str] = []
    event.listen(tables.connection, "before_cursor_execute", lambda *arguments: seen.append(arguments[2]))
    known = Budgets()

    def statements() -> int:
        seen.clear()
        tables(known.exceeded, DEFAULT_TENANT, key_id="key_1", end_user="ada", now=NOON)
        return len([statement for statement in seen if statement.upper().startswith("SELECT")])

    assert [statements(), statements()] == [1, 0], "without any budget"
    limit(tables, Spender.KEY, "key_1", day=100)
    assert statements() == 0, "it is not known yet"
    clock[0] += 2.1
    assert [statements() - 1, statements() - 1] == [2, 0]
    known.forget()
    assert statements() == 3
