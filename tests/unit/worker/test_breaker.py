"""When an upstream is left alone, and when it is tried again."""

from __future__ import annotations

import pytest

from worker.breaker import FAILURES_TO_OPEN, MAX_OPEN_SECONDS, MAX_RETRY_AFTER_SECONDS, OPEN_SECONDS, Breaker

ONE, OTHER = object(), object()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


@pytest.fixture
def opened(breaker: Breaker) -> Breaker:
    for _ in range(FAILURES_TO_OPEN):
        breaker.fail()
    return breaker


def test_it_opens_after_several_failures_in_a_row(breaker: Breaker) -> None:
    for _ in range(FAILURES_TO_OPEN - 1):
        assert breaker.fail() is None
    breaker.succeed()
    for _ in range(FAILURES_TO_OPEN - 1):
        assert breaker.fail() is None
    assert breaker.is_closed
    assert breaker.fail() == OPEN_SECONDS
    assert not breaker.is_closed


def test_open_it_admits_nobody_and_then_one_at_a_time(opened: Breaker, clock: Clock) -> None:
    assert not opened.admits_trial
    clock.now += OPEN_SECONDS
    assert opened.admits_trial
    opened.begin(ONE)
    assert not opened.admits_trial
    opened.begin(OTHER)
    opened.leave(OTHER)
    assert not opened.admits_trial, "the one that tries is still there"
    opened.leave(ONE)
    assert opened.admits_trial, "a reply that was stopped told nothing"


def test_a_trial_that_succeeds_closes_it_and_the_next_time_it_is_open_as_short_as_the_first(
    opened: Breaker, clock: Clock
) -> None:
    clock.now += OPEN_SECONDS
    opened.begin(ONE)
    assert opened.succeed()
    opened.leave(ONE)
    assert opened.is_closed
    assert [opened.fail() for _ in range(FAILURES_TO_OPEN)][-1] == OPEN_SECONDS


def test_a_trial_that_fails_leaves_it_open_twice_as_long_up_to_a_bound(opened: Breaker, clock: Clock) -> None:
    seconds = OPEN_SECONDS
    for _ in range(8):
        clock.now += seconds
        opened.begin(ONE)
        longer = opened.fail()
        opened.leave(ONE)
        assert longer == min(2 * seconds, MAX_OPEN_SECONDS)
        assert not opened.admits_trial
        seconds = longer


def test_an_answer_that_begins_closes_it_but_its_next_failure_opens_it_for_longer(
    opened: Breaker, clock: Clock
) -> None:
    assert not opened.hear()
    clock.now += OPEN_SECONDS
    assert opened.hear()
    assert opened.is_closed
    assert opened.fail() == 2 * OPEN_SECONDS
    clock.now += 2 * OPEN_SECONDS
    assert opened.hear()
    assert not opened.succeed()
    assert opened.fail() is None


def test_what_had_begun_before_tells_nothing_while_it_is_open(opened: Breaker, clock: Clock) -> None:
    assert not opened.succeed()
    assert opened.fail() is None
    assert not opened.is_closed
    clock.now += OPEN_SECONDS
    assert opened.admits_trial


@pytest.mark.parametrize(("retry_after", "seconds"), [(1.5, 1.5), (3600.0, MAX_RETRY_AFTER_SECONDS)])
def test_who_says_when_to_come_back_is_left_alone_until_then(
    retry_after: float, seconds: float, breaker: Breaker, clock: Clock
) -> None:
    assert breaker.fail(retry_after=retry_after) == seconds
    clock.now += seconds - 0.1
    assert not breaker.admits_trial
    clock.now += 0.2
    assert breaker.admits_trial


def test_a_longer_wish_counts_also_while_it_is_open(opened: Breaker, clock: Clock) -> None:
    assert opened.fail(retry_after=20) == 20
    clock.now += OPEN_SECONDS
    assert not opened.admits_trial
