"""Whether a budget is used up: asked when something is accepted, and again before the model is called.

What a process has read of a budget it believes for two seconds, so that asking costs next to nothing. A budget is soft
by that, and by what is under way when it is reached.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping

from shared.clock import now_ms
from shared.errors import BudgetExceeded
from shared.reply_body import instant
from shared.store import budgets
from shared.store.budgets import Spender, Window

BELIEVE_SECONDS = 2.0
# Whatever a reading takes, it takes no more than this share of a process's time.
READING_SHARE = 0.02
MAX_KNOWN = 10_000

_WHOSE = {
    Spender.TENANT: "of this tenant",
    Spender.KEY: "of this API key",
    Spender.END_USER: "of this end user",
    Spender.EACH_END_USER: "of this end user",
}


@dataclass(frozen=True, slots=True)
class Exceeded:
    """Whose budget is used up, and until when."""

    message: str
    until: int


@dataclass(frozen=True, slots=True)
class _Known:
    exceeded: Exceeded | None
    # In seconds of the monotonic clock, and the UTC day it is about.
    until: float
    today: int


class Budgets:
    """What one process knows of budgets. Every method may be called from any thread that has a connection."""

    def __init__(self) -> None:
        self._without: dict[str, float] = {}
        self._known: dict[tuple[str, str | None, str | None], _Known] = {}

    def forget(self) -> None:
        """Budgets have changed."""
        self._without.clear()
        self._known.clear()

    def require(self, connection: Connection, tenant_id: str, *, key_id: str | None, conversation_id: str) -> None:
        """Refuses what nobody has the budget for.

        Raises:
            BudgetExceeded: the tenant, the key or the conversation's end user has used it up.
        """
        if self._has_none(connection, tenant_id):
            return
        now = now_ms()
        end_user = budgets.end_user_of(connection, conversation_id)
        exceeded = self.exceeded(connection, tenant_id, key_id=key_id, end_user=end_user, now=now)
        if exceeded is not None:
            raise BudgetExceeded(exceeded.message, retry_after_seconds=-(-(exceeded.until - now) // 1000))

    def exceeded(
        self, connection: Connection, tenant_id: str, *, key_id: str | None, end_user: str | None, now: int
    ) -> Exceeded | None:
        """Which budget is used up for what the key asks on behalf of the end user; None if there is room."""
        if self._has_none(connection, tenant_id):
            return None
        whose, window = (tenant_id, key_id, end_user), Window.of(now)
        known = self._known.get(whose)
        if known is None or known.until < time.monotonic() or known.today != window.today:
            known = self._read(connection, *whose, window=window)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[whose] = known
        return known.exceeded

    def _has_none(self, connection: Connection, tenant_id: str) -> bool:
        """Where nobody has set any, this is all there is to it, once every two seconds."""
        now = time.monotonic()
        if self._without.get(tenant_id, now) > now:
            return True
        if budgets.has_any(connection, tenant_id):
            self._without.pop(tenant_id, None)
            return False
        if len(self._without) >= MAX_KNOWN:
            self._without.clear()
        self._without[tenant_id] = now + BELIEVE_SECONDS
        return True

    def _read(
        self, connection: Connection, tenant_id: str, key_id: str | None, end_user: str | None, *, window: Window
    ) -> _Known:
        began = time.monotonic()
        found: list[Exceeded] = []
        for row in budgets.applying(connection, tenant_id, key_id=key_id, end_user=end_user):
            found += _used_up(connection, row, end_user=end_user, window=window)
        ended = time.monotonic()
        until = ended + max(BELIEVE_SECONDS, (ended - began) / READING_SHARE)
        return _Known(max(found, key=lambda each: each.until, default=None), until, window.today)


def _used_up(connection: Connection, row: RowMapping, *, end_user: str | None, window: Window) -> Sequence[Exceeded]:
    """What of the budget is used up, by day and by month."""
    spender = Spender(row["spender"])
    per_day, per_month = row["tokens_per_day"], row["tokens_per_month"]
    subject = end_user or "" if spender is Spender.EACH_END_USER else row["subject"]
    spent = budgets.spent(
        connection, row["tenant_id"], spender, subject, window=window, is_by_month=per_month is not None
    )
    found = []
    if per_day is not None and spent.today >= per_day:
        found.append(_told(spender, f"{per_day} tokens a day", until=window.day_ends_at))
    if per_month is not None and spent.this_month >= per_month:
        found.append(_told(spender, f"{per_month} tokens a month", until=window.month_ends_at))
    return found


def _told(spender: Spender, budget: str, *, until: int) -> Exceeded:
    return Exceeded(f"The budget {_WHOSE[spender]}, {budget}, is used up until {instant(until)}.", until)
