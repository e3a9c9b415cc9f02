"""A message that kills every worker which sends it to the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from shared.reply_status import ReplyError, ReplyStatus
from tests.faults.asking import Client
from tests.faults.installation import Installation, Member
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


def _add_worker(installation: Installation, proxy: FaultProxy) -> Member:
    """It dies as soon as the poison passes through its proxy."""
    worker = installation.add_worker(environment={"OPENAI_BASE_URL": f"http://127.0.0.1:{proxy.port}/v1"})
    proxy.call_when_sent(POISON, worker.process.kill)
    return worker


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
    for proxy in proxies:
        _add_worker(installation, proxy)
    await installation.start(gateways=1, workers=0)
    poisoned = await client.ask_anew(POISON.decode(), model="demo-fast")
    await client.get(f"/replies/{poisoned.reply_ids[0]}/?wait=50")
    await client.ask_many(OTHERS, model="demo-fast")
    await _judge(installation, client)


async def test_others_that_are_answered_beside_it_are_not_harmed(
    installation: Installation, client: Client, proxies: list[FaultProxy]
) -> None:
    """Each worker takes over all that the one before it had, poison included."""
    first, second, third = proxies
    dying = _add_worker(installation, first)
    await installation.start(gateways=1, workers=0)
    await client.ask_many(OTHERS, model="demo-10000ms")
    await installation.model_has_been_asked(OTHERS)
    await client.ask_anew(POISON.decode(), model="demo-fast")
    for proxy in (second, third):
        await dying.ended()
        dying = _add_worker(installation, proxy)
        await installation.ready()
    await _judge(installation, client)
