"""Budgets: how many tokens a tenant, a key or an end user may spend on a UTC day, or in a UTC month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    case,
    delete,
    exists,
    func,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite

from shared.clock import DAY_MS, day_of
from shared.database.models import attempts, budgets, conversations, usage_days


class Spender(StrEnum):
    """Whose budget it is."""

    TENANT = "tenant"
    KEY = "key"
    END_USER = "end_user"
    EACH_END_USER = "each_end_user"  # of every end user that has none of its own


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tokens; None is no limit."""

    tokens_per_day: int | None
    tokens_per_month: int | None

    @classmethod
    def of(cls, per_day: int | None, per_month: int | None) -> Limits | None:
        """None where there is no limit at all."""
        return None if per_day is None and per_month is None else cls(per_day, per_month)


@dataclass(frozen=True, slots=True)
class Window:
    """The UTC day and the UTC month of an instant."""

    today: int
    first_of_month: int
    day_ends_at: int
    month_ends_at: int

    @classmethod
    def of(cls, now: int) -> Window:
        """Those of `now`."""
        day = day_of(now)
        date = datetime.fromtimestamp(now // 1000, UTC)
        first = date.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return cls(day, day_of(int(first.timestamp()) * 1000), (day + 1) * DAY_MS, int(following.timestamp()) * 1000)


@dataclass(frozen=True, slots=True)
class Spent:
    """How many tokens, of today and of this month."""

    today: int
    this_month: int


def _own(tenant_id: str, spender: Spender, subject: str) -> ColumnElement[bool]:
    row = budgets.c
    return (row.tenant_id == tenant_id) & (row.spender == spender) & (row.subject == subject)


_HAS_ANY = select(exists().where(budgets.c.tenant_id == bindparam("of_tenant")))
_APPLYING = select(budgets).where(
    budgets.c.tenant_id == bindparam("of_tenant"),
    tuple_(budgets.c.spender, budgets.c.subject).in_(bindparam("subjects", expanding=True)),
)
_END_USER = select(conversations.c.end_user).where(conversations.c.id == bindparam("of_conversation"))


def _sum(days: ColumnElement[bool] | None, tries: ColumnElement[bool] | None) -> Any:
    """What was spent by those whom the conditions single out."""
    counted = select(
        usage_days.c.day.label("day"), (usage_days.c.input_tokens + usage_days.c.output_tokens).label("tokens")
    ).where(usage_days.c.tenant_id == bindparam("of_tenant"), usage_days.c.day >= bindparam("since"))
    uncounted = select(
        attempts.c.uncounted_day, func.coalesce(attempts.c.input_tokens, 0) + func.coalesce(attempts.c.output_tokens, 0)
    ).where(
        attempts.c.tenant_id == bindparam("of_tenant"),
        # Spelled for the partial indexes.
        attempts.c.uncounted_day.is_not(None),
        attempts.c.uncounted_day >= bindparam("since"),
    )
    if days is not None and tries is not None:
        counted, uncounted = counted.where(days), uncounted.where(tries)
    spent = union_all(counted, uncounted).subquery("spent")
    today = func.sum(case((spent.c.day >= bindparam("today"), spent.c.tokens), else_=0))
    return select(
        func.coalesce(today, 0).label("today"), func.coalesce(func.sum(spent.c.tokens), 0).label("this_month")
    )


_subject: ColumnElement[str] = bindparam("of_subject")
_OF_END_USER = _sum(usage_days.c.end_user == _subject, attempts.c.end_user == _subject)
_SPENT = {
    Spender.TENANT: _sum(None, None),
    Spender.KEY: _sum(usage_days.c.key_id == _subject, attempts.c.key_id == _subject),
    Spender.END_USER: _OF_END_USER,
    Spender.EACH_END_USER: _OF_END_USER,
}


def has_any(connection: Connection, tenant_id: str) -> bool:
    """Whether the tenant has any budget."""
    return bool(connection.execute(_HAS_ANY, {"of_tenant": tenant_id}).scalar_one())


def applying(connection: Connection, tenant_id: str, *, key_id: str | None, end_user: str | None) -> list[RowMapping]:
    """The budgets that count for what a key asks on behalf of an end user; of an end user its own before each one's."""
    subjects: list[tuple[str, str]] = [(Spender.TENANT, "")]
    if key_id:
        subjects.append((Spender.KEY, key_id))
    if end_user:
        subjects += [(Spender.END_USER, end_user), (Spender.EACH_END_USER, "")]
    rows = connection.execute(_APPLYING, {"of_tenant": tenant_id, "subjects": subjects}).mappings().all()
    has_own = any(row["spender"] == Spender.END_USER for row in rows)
    return [row for row in rows if not (has_own and row["spender"] == Spender.EACH_END_USER)]


def spent(
    connection: Connection, tenant_id: str, spender: Spender, subject: str, *, window: Window, is_by_month: bool
) -> Spent:
    """What was spent; unless `is_by_month` only today's, which is read faster."""
    keys: dict[str, Any] = {
        "of_tenant": tenant_id,
        "since": window.first_of_month if is_by_month else window.today,
        "today": window.today,
    }
    if spender is not Spender.TENANT:
        keys["of_subject"] = subject
    row = connection.execute(_SPENT[spender], keys).one()
    return Spent(int(row.today), int(row.this_month))


def end_user_of(connection: Connection, conversation_id: str) -> str | None:
    """The end user of the conversation, if it has one."""
    found: str | None = connection.execute(_END_USER, {"of_conversation": conversation_id}).scalar_one_or_none()
    return found


def put(connection: Connection, tenant_id: str, spender: Spender, subject: str, *, limits: Limits, now: int) -> None:
    """Sets the budget, whether or not there was one."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    values: Mapping[str, Any] = {
        "tokens_per_day": limits.tokens_per_day,
        "tokens_per_month": limits.tokens_per_month,
        "updated_at": now,
    }
    names = [column.name for column in budgets.primary_key]
    own = {"tenant_id": tenant_id, "spender": spender, "subject": subject}
    insert = dialect.insert(budgets).values({**own, **values})
    connection.execute(insert.on_conflict_do_update(index_elements=names, set_=dict(values)))


def get(connection: Connection, tenant_id: str, spender: Spender, subject: str) -> RowMapping | None:
    """The budget, or None if there is none."""
    return connection.execute(select(budgets).where(_own(tenant_id, spender, subject))).mappings().one_or_none()


def limits_of(connection: Connection, tenant_id: str, spender: Spender, subject: str) -> Limits | None:
    """How much it is, or None if there is none."""
    row = get(connection, tenant_id, spender, subject)
    return None if row is None else Limits(row["tokens_per_day"], row["tokens_per_month"])


def remove(connection: Connection, tenant_id: str, spender: Spender, subject: str) -> bool:
    """Takes the budget away. False if there was none."""
    return connection.execute(delete(budgets).where(_own(tenant_id, spender, subject))).rowcount > 0


def page(connection: Connection, tenant_id: str, *, limit: int, after: tuple[str, str] | None) -> Sequence[RowMapping]:
    """Up to `limit` budgets of the tenant, by kind and name, behind the one that ended the page before."""
    place = tuple_(budgets.c.spender, budgets.c.subject)
    query = select(budgets).where(budgets.c.tenant_id == tenant_id)
    if after is not None:
        query = query.where(place > tuple_(*after))
    return connection.execute(query.order_by(budgets.c.spender, budgets.c.subject).limit(limit)).mappings().all()
