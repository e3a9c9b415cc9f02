"""What a loop asks for in one go reaches the writing thread in one go, and nothing is left behind."""

from __future__ import annotations

import asyncio
import queue

import pytest

from shared.database import gathering
from shared.database.gathering import Gathering


def _ready(calls: Gathering[int]) -> list[int | None]:
    """What the thread would find now."""
    found: list[int | None] = []
    while True:
        try:
            found.append(calls.get_nowait())
        except queue.Empty:
            return found


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.anyio
async def test_what_comes_turn_after_turn_is_handed_over_once_a_turn_brings_nothing() -> None:
    calls: Gathering[int] = Gathering()
    for number in range(3):
        calls.put(number, asyncio.get_running_loop())
        await _turns(1)
        assert _ready(calls) == []
        assert len(calls) == number + 1
    await _turns(2)
    assert _ready(calls) == [0, 1, 2]
    assert len(calls) == 0
    calls.put(3, asyncio.get_running_loop())
    await _turns(3)
    assert _ready(calls) == [3]


@pytest.mark.anyio
async def test_a_loop_that_always_brings_more_hands_over_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MOST_SECONDS", 0)
    calls: Gathering[int] = Gathering()
    for number in range(3):
        calls.put(number, asyncio.get_running_loop())
        await _turns(2)
        assert _ready(calls) == [number]


def test_what_a_loop_left_that_has_ended_goes_with_what_the_next_one_brings() -> None:
    calls: Gathering[int] = Gathering()
    ended = asyncio.new_event_loop()
    calls.put(0, ended)
    ended.close()

    async def put() -> None:
        calls.put(1, asyncio.get_running_loop())
        await _turns(4)

    asyncio.run(put())
    assert _ready(calls) == [0, 1]


@pytest.mark.anyio
async def test_at_the_end_nothing_is_left_behind() -> None:
    calls: Gathering[int] = Gathering()
    calls.put(0, asyncio.get_running_loop())
    calls.end()
    assert _ready(calls) == [0, None]
