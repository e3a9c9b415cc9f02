"""Budgets: setting them, and what is left of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping

from api.dependencies import Resources
from shared.clock import now_ms
from shared.errors import NotFound
from shared.reply_body import instant
from shared.store import budgets, keys
from shared.store.budgets import Limits, Spender, Window


async def page(
    resources: Resources, tenant_id: str, *, limit: int, after: tuple[str, str] | None
) -> Sequence[dict[str, Any]]:
    """Up to `limit` budgets as they are shown."""

    def read(connection: Connection) -> Sequence[dict[str, Any]]:
        return [_shown(connection, row) for row in budgets.page(connection, tenant_id, limit=limit, after=after)]

    return await resources.database.read(read)


async def get(resources: Resources, tenant_id: str, spender: Spender, subject: str) -> dict[str, Any]:
    """The budget as it is shown; of an end user without one of its own, the one that each has.

    Raises:
        NotFound: there is none.
    """
    return await resources.database.read(_get, tenant_id, spender, subject)


def _get(connection: Connection, tenant_id: str, spender: Spender, subject: str) -> dict[str, Any]:
    row = budgets.get(connection, tenant_id, spender, subject)
    if row is None and spender is Spender.END_USER:
        row = budgets.get(connection, tenant_id, Spender.EACH_END_USER, "")
    if row is None:
        raise NotFound("There is no such budget.")
    return _shown(connection, row, subject=subject)


async def put(
    resources: Resources, tenant_id: str, spender: Spender, subject: str, *, limits: Limits
) -> dict[str, Any]:
    """Sets the budget; it is heeded at once here, and within seconds elsewhere.

    Raises:
        NotFound: it is for a key that the tenant has not.
    """

    def write(connection: Connection) -> dict[str, Any]:
        if spender is Spender.KEY and keys.get(connection, tenant_id, subject) is None:
            raise NotFound("There is no such key.")
        budgets.put(connection, tenant_id, spender, subject, limits=limits, now=now_ms())
        return _get(connection, tenant_id, spender, subject)

    made = await resources.database.write(write)
    resources.budgets.forget()
    return made


async def remove(resources: Resources, tenant_id: str, spender: Spender, subject: str) -> None:
    """Takes the budget away.

    Raises:
        NotFound: there is none.
    """
    if not await resources.database.write(budgets.remove, tenant_id, spender, subject):
        raise NotFound("There is no such budget.")
    resources.budgets.forget()


def _shown(connection: Connection, row: RowMapping, *, subject: str | None = None) -> dict[str, Any]:
    window, spender = Window.of(now_ms()), Spender(row["spender"])
    whose = row["subject"] if subject is None else subject
    used = None
    if spender is not Spender.EACH_END_USER or whose:
        used = budgets.spent(connection, row["tenant_id"], spender, whose, window=window, is_by_month=True)
    return {
        "kind": spender,
        "id": whose or None,
        "tokens_per_day": row["tokens_per_day"],
        "tokens_per_month": row["tokens_per_month"],
        "used_today": used.today if used else None,
        "used_this_month": used.this_month if used else None,
        "day_ends_at": instant(window.day_ends_at),
        "month_ends_at": instant(window.month_ends_at),
        "updated_at": instant(row["updated_at"]),
    }
