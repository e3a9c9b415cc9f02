"""A watch misses nothing and wakes for nothing."""

from __future__ import annotations

import asyncio

import pytest

from api.live.watch import Watch

pytestmark = pytest.mark.anyio

LONG = 30.0


async def test_a_change_while_reading_is_not_missed() -> None:
    watch = Watch()
    watch.begin_reading()
    watch.wake()
    assert await watch.changed(seen=1, timeout=LONG)


async def test_a_change_before_reading_is_in_what_is_read() -> None:
    watch = Watch()
    watch.wake()
    watch.begin_reading()
    assert not await watch.changed(seen=1, timeout=0.01)


async def test_many_changes_wake_once() -> None:
    watch = Watch()
    waiting = asyncio.create_task(watch.changed(seen=1, timeout=LONG))
    await asyncio.sleep(0)
    assert watch.is_idle
    watch.wake()
    watch.wake()
    assert await waiting
    assert not watch.is_idle
    watch.begin_reading()
    assert not await watch.changed(seen=2, timeout=0)


async def test_an_ended_watch_waits_no_more() -> None:
    watch = Watch()
    waiting = asyncio.create_task(watch.changed(seen=1, timeout=LONG))
    await asyncio.sleep(0)
    watch.end()
    assert not await waiting
    watch.wake()
    assert not await watch.changed(seen=1, timeout=LONG)
