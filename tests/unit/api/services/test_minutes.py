"""Figures of each minute."""

from __future__ import annotations

from typing import Any

import pytest

from api.services.minutes import MINUTE_MS, Minutes, percentile

NOW = 100 * MINUTE_MS + 12_345


def tried(
    attempt: int,
    *,
    created_at: int,
    started_at: int,
    ended_at: int | None,
    error_code: str | None = None,
    first_token_ms: int | None = None,
) -> Any:
    return attempt, started_at, ended_at, error_code, first_token_ms, created_at


def test_minutes_are_whole_ones_and_the_last_is_the_present_one() -> None:
    minutes = Minutes(NOW, 3)
    assert (minutes.begins_at, len(minutes.each)) == (98 * MINUTE_MS, 3)
    minutes.add_tries(
        [
            tried(1, created_at=NOW, started_at=started_at, ended_at=None)
            for started_at in (98 * MINUTE_MS - 1, 98 * MINUTE_MS, NOW, 101 * MINUTE_MS - 1, 101 * MINUTE_MS)
        ]
    )
    assert [len(each.queue_waits) for each in minutes.each] == [1, 0, 2]


def test_only_the_first_try_tells_how_long_a_reply_waited() -> None:
    minutes = Minutes(NOW, 3)
    minutes.add_tries(
        [
            tried(1, created_at=NOW - 50, started_at=NOW - 40, ended_at=NOW - 30, error_code="rate_limited"),
            tried(2, created_at=NOW - 50, started_at=NOW - 10, ended_at=NOW, first_token_ms=7),
        ]
    )
    assert (minutes.whole().queue_waits, minutes.whole().first_tokens) == ([10], [7])
    assert minutes.whole().attempt_failures == {"rate_limited": 1}


@pytest.mark.parametrize(
    ("count", "half", "most"), [(1, 1, 1), (2, 1, 2), (3, 2, 3), (20, 10, 19), (21, 11, 20), (100, 50, 95)]
)
def test_a_percentile_is_the_nearest_value_that_so_many_do_not_exceed(count: int, half: int, most: int) -> None:
    values = range(1, count + 1)
    assert (percentile(values, 50), percentile(values, 95)) == (half, most)
