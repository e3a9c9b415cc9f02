"""How replies went, minute by minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row

from shared.reply_status import ReplyStatus

MINUTE_MS = 60_000


@dataclass(slots=True)
class Figures:
    """What happened in some time; durations in milliseconds.

    An attempt that failed did not need to fail its reply: others may have followed.
    """

    accepted: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    attempt_failures: Counter[str] = field(default_factory=Counter)
    queue_waits: list[int] = field(default_factory=list)
    first_tokens: list[int] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)


class Minutes:
    """Figures of each of the last minutes, whole ones but for the present one, and of all of them."""

    def __init__(self, now: int, count: int) -> None:
        self.ends_at = now
        self.begins_at = (now // MINUTE_MS - count + 1) * MINUTE_MS
        # Before this instant not everything was looked at.
        self.complete_from = self.begins_at
        self.each = [Figures() for _ in range(count)]
        self.whole = Figures()

    def add_replies(self, rows: Iterable[Row[Any]]) -> None:
        """Counts replies that were accepted or ended in these minutes."""
        for row in rows:
            for figures in self._at(row.created_at):
                figures.accepted += 1
            for figures in self._at(row.finished_at):
                figures.ended[row.status] += 1
                figures.totals.append(row.finished_at - row.created_at)
                if row.status == ReplyStatus.FAILED:
                    figures.failures[row.error_code] += 1

    def add_tries(self, rows: Iterable[Row[Any]]) -> None:
        """Counts tries that began or ended in these minutes."""
        for row in rows:
            if row.attempt == 1:
                for figures in self._at(row.started_at):
                    figures.queue_waits.append(max(0, row.started_at - row.created_at))
            for figures in self._at(row.ended_at):
                if row.error_code is not None:
                    figures.attempt_failures[row.error_code] += 1
                if row.first_token_ms is not None:
                    figures.first_tokens.append(row.first_token_ms)

    def _at(self, instant: int | None) -> Sequence[Figures]:
        """Where to count what happened at an instant, if anywhere."""
        if instant is None:
            return ()
        index = (instant - self.begins_at) // MINUTE_MS
        return (self.each[index], self.whole) if 0 <= index < len(self.each) else ()


def percentile(values: Sequence[int], percent: int) -> int:
    """The smallest of these sorted values that so many percent of them do not exceed; there is at least one."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]
