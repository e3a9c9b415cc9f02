"""The parts of a connection do what the server's own do."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from api.connection_parts import Flow, Queue, Signal

pytestmark = pytest.mark.anyio


async def test_a_signal_wakes_all_who_wait_and_lets_through_who_comes_later() -> None:
    signal = Signal()
    waiting = [asyncio.create_task(signal.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    signal.set()
    await asyncio.gather(*waiting)
    assert signal.is_set()
    await signal.wait()


async def test_a_signal_that_was_cleared_is_waited_for_again_also_after_one_has_given_up() -> None:
    signal = Signal()
    signal.set()
    signal.clear()
    gone, waiting = (asyncio.create_task(signal.wait()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    assert gone.cancelled()
    assert not waiting.done()
    signal.set()
    await waiting


class _Reading:
    """A transport that knows whether it is read."""

    is_paused = False

    def pause_reading(self) -> None:
        assert not self.is_paused
        self.is_paused = True

    def resume_reading(self) -> None:
        assert self.is_paused
        self.is_paused = False


async def test_reading_stops_and_goes_on_once_however_often_it_is_asked_to() -> None:
    transport = _Reading()
    flow = Flow(cast(asyncio.Transport, transport))
    flow.resume_reading()
    for _ in range(2):
        flow.pause_reading()
    assert (transport.is_paused, flow.read_paused) == (True, True)
    for _ in range(2):
        flow.resume_reading()
    assert (transport.is_paused, flow.read_paused) == (False, False)


async def test_whoever_writes_waits_until_the_client_reads() -> None:
    flow = Flow(cast(asyncio.Transport, _Reading()))
    flow.pause_writing()
    assert flow.write_paused
    writing = asyncio.create_task(flow.drain())
    await asyncio.sleep(0)
    assert not writing.done()
    flow.resume_writing()
    await writing
    assert not flow.write_paused


def test_what_came_first_leaves_the_queue_first() -> None:
    queue = Queue()
    for item in "abc":
        queue.appendleft(item)
    assert [queue.pop() for _ in range(3)] == ["a", "b", "c"]
