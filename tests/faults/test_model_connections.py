"""What the network between workers and model does; what a model itself does wrong is in tests/integration/worker."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, func, select

from shared.database.models import attempts
from shared.reply_status import ReplyError, ReplyStatus
from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import judge
from tests.faults.patience import until
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.fault_proxy import FaultProxy, fault_proxy

pytestmark = pytest.mark.anyio

REPLIES = 10
# Little patience with a silent model, and time to heal the network before the next try.
PATIENCE = {
    "ASYNCCHAT_FIRST_BYTE_SECONDS": "3",
    "ASYNCCHAT_CHUNK_SECONDS": "3",
    "ASYNCCHAT_RETRY_BASE_SECONDS": "6",
}


@pytest.fixture
def proxy(demo: DemoProcess) -> Iterator[FaultProxy]:
    """Between the workers and the model."""
    with fault_proxy(("127.0.0.1", demo.port)) as proxy:
        yield proxy


async def _start(installation: Installation, proxy: FaultProxy, **settings: str) -> None:
    for _ in range(2):
        environment = {"OPENAI_BASE_URL": f"http://127.0.0.1:{proxy.port}/v1", **PATIENCE, **settings}
        installation.add_worker(environment=environment)
    await installation.start(gateways=1, workers=0)


def _outcomes(connection: Connection) -> Counter[str]:
    counted = select(attempts.c.outcome, func.count()).group_by(attempts.c.outcome)
    return Counter({row[0]: row[1] for row in connection.execute(counted)})


async def _all_are_to_be_tried_again(installation: Installation) -> None:
    async def are_so() -> bool:
        return (await installation.database.read(_outcomes))["retried"] == REPLIES

    await until(are_so)


async def _all_are_being_told(client: Client) -> None:
    async def are_so() -> bool:
        page = await client.get("/replies/?status=in_progress&limit=100")
        return len(page["data"]) == REPLIES and all(reply["content"] for reply in page["data"])

    await until(are_so)


@pytest.mark.quick
async def test_connections_that_are_reset_in_the_middle_of_answers(
    installation: Installation, client: Client, proxy: FaultProxy
) -> None:
    await _start(installation, proxy, ASYNCCHAT_RETRY_BASE_SECONDS="0.5")
    await client.ask_many(REPLIES, model="demo-4000ms")
    await _all_are_being_told(client)
    proxy.reset()
    books = await judge(installation, client)
    assert books.outcomes == {"retried": REPLIES, "completed": REPLIES}
    assert {row["model_calls"] for row in books.replies} == {2}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_answers_that_end_after_some_bytes(
    installation: Installation, client: Client, proxy: FaultProxy, chance: random.Random
) -> None:
    await _start(installation, proxy)
    proxy.truncate(chance.randint(1, 2_000))
    await client.ask_many(REPLIES, model="demo-300ms")
    await _all_are_to_be_tried_again(installation)
    proxy.heal()
    books = await judge(installation, client)
    assert books.outcomes == {"retried": REPLIES, "completed": REPLIES}


async def test_a_black_hole_counts_as_a_call_since_nobody_knows(
    installation: Installation, client: Client, proxy: FaultProxy
) -> None:
    await _start(installation, proxy)
    proxy.hold()
    await client.ask_many(REPLIES, model="demo-300ms")
    await _all_are_to_be_tried_again(installation)
    proxy.heal()
    books = await judge(installation, client)
    assert {row["model_calls"] for row in books.replies} == {2}


async def test_a_refused_connection_costs_no_call(
    installation: Installation, client: Client, proxy: FaultProxy
) -> None:
    await _start(installation, proxy)
    proxy.refuse()
    await client.ask_many(REPLIES, model="demo-300ms")
    await _all_are_to_be_tried_again(installation)
    proxy.heal()
    books = await judge(installation, client)
    assert {row["model_calls"] for row in books.replies} == {1}


async def test_a_slow_network_changes_nothing(installation: Installation, client: Client, proxy: FaultProxy) -> None:
    await _start(installation, proxy)
    proxy.delay(0.5)
    await client.ask_many(REPLIES, turns=2, model="demo-300ms")
    books = await judge(installation, client)
    assert set(books.outcomes) == {"completed"}


async def test_an_answer_that_comes_byte_by_byte_ends_by_its_deadline(
    installation: Installation, client: Client, proxy: FaultProxy
) -> None:
    """No pause is longer than the worker is patient, and the whole would take an hour."""
    await _start(installation, proxy)
    proxy.drip(0.5)
    await client.ask_many(REPLIES, model="demo-fast", deadline_seconds=20)
    books = await judge(installation, client, statuses={ReplyStatus.FAILED})
    codes = {row["error_code"] for row in books.replies}
    assert codes <= {ReplyError.UPSTREAM_TIMEOUT, ReplyError.DEADLINE_EXCEEDED}
    assert all(row["finished_at"] < row["deadline_at"] + 60_000 for row in books.replies)
