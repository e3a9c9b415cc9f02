"""Background tasks end, whatever they do with a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from shared.background import Rounds, end, is_cancelled, woken
from shared.errors import StorageBusy

pytestmark = pytest.mark.anyio


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert (task.cancelled(), swallowed) == (True, 3)


async def test_a_task_that_fails_while_it_is_ended_fails_alone() -> None:
    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await end(task)
    assert task.done()


async def test_a_swallowed_cancellation_can_still_be_seen() -> None:
    seen = []

    async def swallow() -> None:
        seen.append(is_cancelled())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(is_cancelled())

    task = asyncio.create_task(swallow())
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert seen == [False, True]


async def test_who_waits_for_an_event_is_woken_by_it_or_by_the_time() -> None:
    event = asyncio.Event()
    event.set()
    await woken(event, within_seconds=600)
    assert not event.is_set()
    await woken(event, within_seconds=0.001)
    assert not event.is_set()


async def test_what_goes_round_outlives_its_failures_until_it_is_stopped() -> None:
    failures: list[Exception] = [StorageBusy("busy"), RuntimeError("boom")]
    went_well = asyncio.Event()

    async def work() -> None:
        if failures:
            raise failures.pop()
        went_well.set()

    rounds = Rounds("a test", work, every_seconds=0.001)
    rounds.start()
    for _ in range(2):
        went_well.clear()
        async with asyncio.timeout(10):
            await went_well.wait()
    await rounds.stop()
    assert all(task.get_name() != "a test" for task in asyncio.all_tasks())
