"""What is made of measured values, before anybody believes them."""

from __future__ import annotations

import asyncio

import pytest

from bench.frame import Row, at_least, at_most, in_turn, percentile, ratios


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0, 0.5, 0.99, 1)] == [1, 51, 100, 100]


def test_a_row_shows_the_median_and_the_ends() -> None:
    row = Row("waited", "ms", [9, 1, 2])
    assert (row.median, row.spread) == (2, (1, 9))


def test_a_bound_itself_meets_its_target() -> None:
    assert at_most(2).is_met(2)
    assert not at_most(2).is_met(2.1)
    assert at_least(2).is_met(2)
    assert not at_least(2).is_met(1.9)


def test_each_value_is_compared_with_the_baseline_of_its_own_run() -> None:
    assert ratios([1, 6], [2, 3]) == [0.5, 2]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 6], [2])


def test_a_measurement_and_its_baseline_take_turns() -> None:
    order: list[str] = []

    async def note(name: str) -> int:
        order.append(name)
        return len(order)

    found = asyncio.run(in_turn(2, {"baseline": lambda: note("baseline"), "own": lambda: note("own")}))
    assert order == ["baseline", "own"] * 2
    assert found == {"baseline": [1, 3], "own": [2, 4]}
