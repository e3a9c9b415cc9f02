"""The time of day, and the clock that counts."""

from __future__ import annotations

import time

import pytest

from shared import clock
from shared.clock import TOLERATED_MS, follow, now_ms, own_ms

HOUR = 3_600_000


@pytest.fixture(autouse=True)
def _own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins, and leaves others, with this machine's own."""
    monkeypatch.setattr(clock, "_offset_ms", 0)


def ahead_ms() -> int:
    """How far now is ahead of this machine's clock, to the nearest ten milliseconds."""
    return round((now_ms() - own_ms()) / 10) * 10


def test_now_is_whole_milliseconds_since_1970() -> None:
    before = int(time.time() * 1000)
    assert before <= now_ms() <= int(time.time() * 1000) + 1


@pytest.mark.parametrize("offset_ms", [HOUR, -HOUR, TOLERATED_MS + 1])
def test_the_clock_that_counts_is_followed(offset_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "own_ms", lambda: 5 * HOUR)
    follow(offset_ms)
    assert now_ms() == 5 * HOUR + offset_ms


def test_whoever_reads_the_log_learns_by_how_much_a_clock_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    follow(-HOUR)
    assert "the database's clock is -3600.0 seconds from this machine's" in caplog.text


@pytest.mark.parametrize("offset_ms", [0, TOLERATED_MS, -TOLERATED_MS])
def test_a_small_difference_is_no_difference(offset_ms: int, caplog: pytest.LogCaptureFixture) -> None:
    follow(offset_ms)
    assert (ahead_ms(), caplog.text) == (0, "")


def test_a_difference_that_stays_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    for measured in (HOUR, HOUR + 3, HOUR - TOLERATED_MS):
        follow(measured)
    assert ahead_ms() == HOUR
    assert len(caplog.records) == 1


def test_a_clock_that_is_put_right_is_this_machines_own_again() -> None:
    follow(HOUR)
    follow(2)
    assert ahead_ms() == 0
