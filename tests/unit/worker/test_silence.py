"""A block is broken off when nothing is heard in it for too long."""

from __future__ import annotations

import asyncio

import pytest

from tests.fixtures.waiting import BOUND_SECONDS
from worker.silence import Silence

pytestmark = pytest.mark.anyio

SOON, NEVER = 0.1, 10 * BOUND_SECONDS


async def test_before_anything_is_heard_the_first_bound_counts() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(BOUND_SECONDS), Silence(first_seconds=SOON, then_seconds=NEVER):
            await asyncio.Event().wait()


async def test_once_something_is_heard_the_other_one_counts_from_then_on() -> None:

    async def hear_once() -> None:
        async with Silence(first_seconds=NEVER, then_seconds=SOON) as silence:
            silence.hear()
            await asyncio.Event().wait()

    async with asyncio.timeout(BOUND_SECONDS) as bound:
        with pytest.raises(TimeoutError):
            await hear_once()
        assert not bound.expired()


async def test_who_is_heard_again_and_again_is_not_broken_off() -> None:
    """Longer than the bound in all, never so long in silence."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with Silence(first_seconds=SOON, then_seconds=SOON) as silence:
        while loop.time() < began + 3 * SOON:
            silence.hear()
            await asyncio.sleep(0)


async def test_a_cancellation_stays_one() -> None:
    async def wait() -> None:
        async with Silence(first_seconds=NEVER, then_seconds=NEVER):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
