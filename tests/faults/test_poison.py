"""A message that kills every worker which sends it to the model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shared.reply_status import ReplyError, ReplyStatus
from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import MAX_MODEL_CALLS, judge
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.fault_proxy import FaultProxy, fault_proxy

pytestmark = pytest.mark.anyio

POISON = b"arsenic"
OTHERS = 20


@pytest.fixture
def proxies(demo: DemoProcess) -> Iterator[list[FaultProxy]]:
    """One for each of three workers."""
    with ExitStack() as stack:
        yield [stack.enter_context(fault_proxy(("127.0.0.1", demo.port))) for _ in range(3)]


async def _start(installation: Installation, proxies: list[FaultProxy], *, slots: int) -> None:
    """Each worker dies as soon as the poison passes through its proxy."""
    for proxy in proxies:
        environment = {"OPENAI_BASE_URL": f"http://127.0.0.1:{proxy.port}/v1"}
        worker = installation.add_worker(slots=slots, environment=environment)
        proxy.call_when_sent(POISON, worker.process.kill)
    await installation.start(gateways=1, workers=0)


async def _judge(installation: Installation, client: Client) -> None:
    """The poison failed by the caps, and nothing else did."""
    books = await judge(installation, client, statuses={ReplyStatus.COMPLETED, ReplyStatus.FAILED})
    (poisoned,) = (each for each in client.accepted if POISON.decode() in each.content)
    reply = books.reply(poisoned.reply_ids[0])
    assert (reply["status"], reply["error_code"]) == (ReplyStatus.FAILED, ReplyError.ATTEMPTS_EXHAUSTED)
    assert books.outcomes_of(reply["id"]) == ["lost"] * MAX_MODEL_CALLS
    assert sum(worker.was_killed for worker in installation.workers) == MAX_MODEL_CALLS
    failed = [row["id"] for row in books.replies if row["status"] == ReplyStatus.FAILED]
    assert failed == [reply["id"]], f"{len(failed) - 1} others were harmed"


async def test_it_fails_by_the_caps_and_later_messages_are_answered(
    installation: Installation, client: Client, proxies: list[FaultProxy]
) -> None:
    await _start(installation, proxies, slots=50)
    poisoned = await client.ask_anew(POISON.decode(), model="demo-fast")
    for _ in range(MAX_MODEL_CALLS):
        await client.ask_many(OTHERS // MAX_MODEL_CALLS, model="demo-fast")
    await client.get(f"/replies/{poisoned.reply_ids[0]}/?wait=50")
    await client.ask_many(OTHERS, model="demo-fast")
    await _judge(installation, client)


@pytest.mark.xfail(reason="what a worker had beside the poison spends a call each time that it is killed", strict=True)
async def test_others_that_are_answered_beside_it_are_not_harmed(
    installation: Installation, client: Client, proxies: list[FaultProxy]
) -> None:
    """All of it is taken over by one worker at once, poison included."""
    await _start(installation, proxies, slots=50)
    await client.ask_many(OTHERS, model="demo-3000ms")
    await asyncio.gather(
        client.ask_anew(POISON.decode(), model="demo-fast"), client.ask_many(OTHERS, model="demo-3000ms")
    )
    await _judge(installation, client)
