"""How replies went, minute by minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

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
    """Figures of each of the last minutes: whole ones, but for the present one."""

    def __init__(self, now: int, count: int) -> None:
        self.ends_at = now
        self.begins_at = (now // MINUTE_MS - count + 1) * MINUTE_MS
        # Before this instant not everything was looked at.
        self.complete_from = self.begins_at
        self.each = [Figures() for _ in range(count)]

    def add_replies(self, rows: Iterable[Sequence[Any]]) -> None:
        """Counts those of `store.operations.accepted` that were accepted or ended in these minutes."""
        # There are thousands; their columns by name would take twice as long.
        for _, created_at, finished_at, status, error_code in rows:
            if (figures := self._at(created_at)) is not None:
                figures.accepted += 1
            if finished_at is not None and (figures := self._at(finished_at)) is not None:
                figures.ended[status] += 1
                figures.totals.append(finished_at - created_at)
                if status == ReplyStatus.FAILED:
                    figures.failures[error_code] += 1

    def add_tries(self, rows: Iterable[Sequence[Any]]) -> None:
        """Counts those of `store.operations.tries` that began or ended in these minutes."""
        for attempt, started_at, ended_at, error_code, first_token_ms, created_at in rows:
            if attempt == 1 and (figures := self._at(started_at)) is not None:
                figures.queue_waits.append(max(0, started_at - created_at))
            if ended_at is not None and (figures := self._at(ended_at)) is not None:
                if error_code is not None:
                    figures.attempt_failures[error_code] += 1
                if first_token_ms is not None:
                    figures.first_tokens.append(first_token_ms)

    def whole(self) -> Figures:
        """All of them together."""
        return Figures(
            accepted=sum(each.accepted for each in self.each),
            ended=sum((each.ended for each in self.each), Counter()),
            failures=sum((each.failures for each in self.each), Counter()),
            attempt_failures=sum((each.attempt_failures for each in self.each), Counter()),
            queue_waits=[value for each in self.each for value in each.queue_waits],
            first_tokens=[value for each in self.each for value in each.first_tokens],
            totals=[value for each in self.each for value in each.totals],
        )

    def _at(self, instant: int) -> Figures | None:
        """Where to count what happened at an instant, if anywhere."""
        index = (instant - self.begins_at) // MINUTE_MS
        return self.each[index] if 0 <= index < len(self.each) else None


def percentile(values: Sequence[int], percent: int) -> int:
    """The smallest of these sorted values that so many percent of them do not exceed; there is at least one."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]
