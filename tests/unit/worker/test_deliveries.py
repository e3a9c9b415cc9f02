"""When a delivery is tried again."""

from __future__ import annotations

import pytest

from worker.deliveries import MAX_RETRY_AFTER_SECONDS, PAUSES_SECONDS, pause_seconds


def test_eight_tries_are_spread_over_more_than_a_day() -> None:
    pauses = [pause_seconds(tries, None) for tries in range(1, 9)]
    assert pauses[-1] is None
    assert 24 * 3600 < sum(pause for pause in pauses if pause is not None) < 36 * 3600


@pytest.mark.parametrize("tries", range(1, len(PAUSES_SECONDS) + 1))
def test_a_pause_is_about_what_was_planned(tries: int) -> None:
    pause = pause_seconds(tries, None)
    assert pause is not None
    assert 0.9 <= pause / PAUSES_SECONDS[tries - 1] <= 1.2


def test_a_receiver_may_ask_for_more_time_and_not_for_less_nor_for_ever() -> None:
    assert pause_seconds(1, 100.0) == 100.0
    assert (pause_seconds(2, 1.0) or 0) >= 270
    assert pause_seconds(1, 1e12) == MAX_RETRY_AFTER_SECONDS
