"""Background tasks end, whatever they do with a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from shared.background import end, is_cancelled

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
