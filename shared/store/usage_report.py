"""Reading usage: the sums of `usage_days`, with what is not counted there yet."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Subquery, case, func, literal, select, tuple_, union_all

from shared.database.models import usage_days
from shared.reply_status import ReplyStatus
from shared.store.usage import SUMS, UNCOUNTED_ATTEMPTS, UNCOUNTED_ENDS


class By(StrEnum):
    """What usage can be told apart by."""

    DAY = "day"
    MODEL = "model"
    END_USER = "end_user"
    KEY = "key"

    @property
    def column(self) -> str:
        """The name of its column."""
        return "key_id" if self is By.KEY else self.value


def page(
    connection: Connection,
    tenant_id: str,
    *,
    first_day: int,
    last_day: int,
    by: Sequence[By],
    limit: int,
    after: Sequence[int | str] | None,
) -> Sequence[RowMapping]:
    """Up to `limit` sums over these days, one for each group that `by` makes, in order, behind the group `after`."""
    used = _used(tenant_id, first_day, last_day)
    groups: list[ColumnElement[Any]] = [used.c[each.column] for each in by]
    query = select(*groups, *(func.sum(used.c[name]).label(name) for name in SUMS)).group_by(*groups)
    if after is not None:
        query = query.where(tuple_(*groups) > tuple_(*after))
    return connection.execute(query.order_by(*groups).limit(limit)).mappings().all()


def _used(tenant_id: str, first_day: int, last_day: int) -> Subquery:
    """A row for each day's sum, each try and each end that is not in one yet."""
    tries, ends = UNCOUNTED_ATTEMPTS.subquery("tries"), UNCOUNTED_ENDS.subquery("ends")
    tokens = func.coalesce(tries.c.input_tokens, 0) + func.coalesce(tries.c.output_tokens, 0)
    of_try = {
        "attempts": 1,
        "input_tokens": func.coalesce(tries.c.input_tokens, 0),
        "output_tokens": func.coalesce(tries.c.output_tokens, 0),
        "estimated_tokens": case((tries.c.usage_estimated, tokens), else_=0),
    }
    sources = (usage_days, tries, ends)
    counts = ({name: usage_days.c[name] for name in SUMS}, _ended(tries) | of_try, _ended(ends))
    return union_all(
        *(
            select(*_keys(source), *(_column(count.get(name, 0), name) for name in SUMS)).where(
                source.c.tenant_id == tenant_id, source.c.day.between(first_day, last_day)
            )
            for source, count in zip(sources, counts, strict=True)
        )
    ).subquery("used")


def _keys(source: Any) -> list[ColumnElement[Any]]:
    names = func.coalesce(source.c.key_id, "").label("key_id"), func.coalesce(source.c.end_user, "").label("end_user")
    return [source.c.day.label("day"), func.coalesce(source.c.model, "").label("model"), *names]


def _ended(source: Any) -> dict[str, Any]:
    """One for the status that a reply ended in."""
    terminal = [status for status in ReplyStatus if status.is_terminal]
    return {str(status): case((source.c.status == status, 1), else_=0) for status in terminal}


def _column(value: Any, name: str) -> ColumnElement[Any]:
    return (literal(value) if isinstance(value, int) else value).label(name)
