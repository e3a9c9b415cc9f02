"""How long to wait before the next try."""

from __future__ import annotations

import pytest

from worker.generation import MAX_BACKOFF_SECONDS, backoff_seconds


@pytest.mark.parametrize(("tries", "seconds"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, MAX_BACKOFF_SECONDS)])
def test_the_wait_doubles_up_to_a_bound_with_half_as_much_jitter(tries: int, seconds: float) -> None:
    waits = [backoff_seconds(tries, 2.0) for _ in range(1000)]
    assert seconds * 0.5 <= min(waits) < max(waits) <= seconds * 1.5


def test_many_tries_do_not_overflow() -> None:
    assert backoff_seconds(100, 1.0) <= MAX_BACKOFF_SECONDS * 1.5
