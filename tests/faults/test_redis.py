"""Redis is killed, wiped, frozen, cut off, full, slow and absent: asks are accepted and answered all the same."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from shared.messaging.doorbell import QUEUE
from shared.messaging.notices import channel
from shared.reply_status import ReplyStatus
from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import all_ended, judge
from tests.faults.patience import until
from tests.fixtures.fault_proxy import FaultProxy, fault_proxy
from tests.fixtures.valkey import Valkey

pytestmark = pytest.mark.anyio

quick = pytest.mark.quick
# 202 comes within two seconds, whatever Redis does.
ACCEPTED_WITHIN_SECONDS = 2.0
NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def proxy(valkey: Valkey) -> Iterator[FaultProxy]:
    """Between every process and Redis, for those tests that start them so."""
    with fault_proxy(valkey.socket) as proxy:
        yield proxy


async def _start(installation: Installation, *, redis_url: str | None = None, slots: int = 50) -> None:
    environment = {"REDIS_URL": redis_url} if redis_url else None
    for _ in range(2):
        installation.add_gateway(environment=environment)
        installation.add_worker(slots=slots, environment=environment)
    await installation.ready()


async def _is_answered_now(installation: Installation, client: Client, *, replies: int = 10) -> None:
    """Asks are accepted at once, waiting clients are answered, and all of it is over before whatever ails Redis is."""
    conversation_ids = [await client.start(model="demo-300ms") for _ in range(replies)]
    took: list[float] = []

    async def ask(conversation_id: str) -> None:
        began = time.monotonic()
        accepted = await client.ask(conversation_id)
        took.append(time.monotonic() - began)
        found = await client.get(f"/replies/{accepted.reply_ids[0]}/?wait=20")
        assert found["status"] == ReplyStatus.COMPLETED

    await asyncio.gather(*(ask(each) for each in conversation_ids))
    await all_ended(installation)
    # Half of them, since the machine may have been busy with something else.
    assert statistics.median(took) < ACCEPTED_WITHIN_SECONDS
    assert not client.turned_away


async def _redis_is(word: str, installation: Installation, client: Client) -> None:
    """Waits until every gateway says so."""

    async def they_say_so() -> bool:
        answers = await asyncio.gather(*(client.http.get(f"{url}/readyz") for url in installation.urls))
        return all(answer.status_code == 200 and answer.json()["redis"] == word for answer in answers)

    await until(they_say_so)


async def _notices_arrive(valkey: Valkey, installation: Installation, client: Client) -> None:
    """Every gateway subscribes again: waiters on each are listened for in Redis, and woken."""
    accepted = await client.ask_anew(model="demo-6000ms")
    path = f"/conversations/{accepted.conversation_id}/?wait=20"
    waiting = [asyncio.create_task(client.http.get(url + path, timeout=60)) for url in installation.urls]
    async with Redis.from_url(valkey.client_url) as redis:

        async def are_subscribed() -> bool:
            ((_, listening),) = await redis.pubsub_numsub(channel(accepted.conversation_id))
            return bool(listening == len(waiting))

        await until(are_subscribed)
    for answer in await asyncio.gather(*waiting):
        assert answer.json()["live_replies"] == []


@quick
async def test_killed_and_started_again_empty(installation: Installation, client: Client, valkey: Valkey) -> None:
    await _start(installation)
    await client.ask_many(10, turns=2, model="demo-500ms")
    valkey.kill()
    await _is_answered_now(installation, client)
    await _redis_is("down", installation, client)
    valkey.start()
    await _redis_is("ok", installation, client)
    await _notices_arrive(valkey, installation, client)
    await judge(installation, client)


@quick
async def test_wiped_with_thirty_queued(installation: Installation, client: Client, valkey: Valkey) -> None:
    """With room for four at a time, bells lie in Redis."""
    await _start(installation, slots=2)
    await client.ask_many(30, model="demo-500ms")
    async with Redis.from_url(valkey.client_url) as redis:
        await redis.flushall()
        assert await redis.llen(QUEUE) == 0
    books = await judge(installation, client)
    assert books.outcomes == {"completed": 30}
    await _notices_arrive(valkey, installation, client)


@pytest.mark.parametrize("seconds", [pytest.param(5, marks=quick), 30])
async def test_frozen(seconds: int, *, installation: Installation, client: Client, valkey: Valkey) -> None:
    await _start(installation)
    await client.ask_many(10, turns=2, model="demo-500ms")
    with valkey.frozen():
        thaw_at = time.monotonic() + seconds
        while time.monotonic() < thaw_at:
            await _is_answered_now(installation, client)
        await _redis_is("down", installation, client)
    await _redis_is("ok", installation, client)
    await _notices_arrive(valkey, installation, client)
    await judge(installation, client)


@pytest.mark.parametrize("seed", [1, 2])
async def test_cut_off(
    installation: Installation, client: Client, valkey: Valkey, *, proxy: FaultProxy, chance: random.Random
) -> None:
    """Nothing goes through, and later all of it at once; sometimes the connections are reset as well."""
    await _start(installation, redis_url=f"redis://127.0.0.1:{proxy.port}/0")
    for _ in range(2):
        await client.ask_many(chance.randint(5, 15), model="demo-300ms")
        proxy.hold()
        for _ in range(chance.randint(1, 3)):
            await _is_answered_now(installation, client)
        await _redis_is("down", installation, client)
        if chance.random() < 0.5:
            proxy.reset()
        proxy.heal()
        await _redis_is("ok", installation, client)
    await _notices_arrive(valkey, installation, client)
    await judge(installation, client)


async def test_only_one_gateway_is_cut_off(
    installation: Installation, client: Client, valkey: Valkey, *, proxy: FaultProxy
) -> None:
    """Who waits there is answered from the database."""
    installation.add_gateway(environment={"REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"})
    await installation.start(gateways=1, workers=1)
    proxy.hold()
    await _is_answered_now(installation, client, replies=20)
    proxy.heal()
    await _redis_is("ok", installation, client)
    await _notices_arrive(valkey, installation, client)
    await judge(installation, client)


@asynccontextmanager
async def _full(valkey: Valkey) -> AsyncIterator[None]:
    """For the block, it takes nothing that needs memory."""
    async with Redis.from_url(valkey.client_url) as redis:
        await redis.config_set("maxmemory", 1)
        await redis.config_set("maxmemory-policy", "noeviction")
        yield
        await redis.config_set("maxmemory", 0)


async def test_full(installation: Installation, client: Client, valkey: Valkey) -> None:
    await _start(installation)
    async with _full(valkey):
        await _is_answered_now(installation, client, replies=20)
    await _is_answered_now(installation, client)
    await _notices_arrive(valkey, installation, client)
    await judge(installation, client)


async def test_full_from_the_start(installation: Installation, client: Client, valkey: Valkey) -> None:
    async with _full(valkey):
        await _start(installation)
        await _is_answered_now(installation, client, replies=20)
    await judge(installation, client)


async def test_slow(installation: Installation, client: Client, *, proxy: FaultProxy) -> None:
    proxy.delay(0.5)
    await _start(installation, redis_url=f"redis://127.0.0.1:{proxy.port}/0")
    for _ in range(3):
        await _is_answered_now(installation, client, replies=20)
    await judge(installation, client)


async def test_absent_from_the_start(installation: Installation, client: Client) -> None:
    await _start(installation, redis_url=NO_REDIS)
    await _is_answered_now(installation, client)
    await _redis_is("down", installation, client)
    await judge(installation, client)


async def test_absent_from_the_start_and_there_later(
    installation: Installation, client: Client, valkey: Valkey, *, proxy: FaultProxy
) -> None:
    proxy.refuse()
    await _start(installation, redis_url=f"redis://127.0.0.1:{proxy.port}/0")
    await _is_answered_now(installation, client)
    proxy.heal()
    await _redis_is("ok", installation, client)
    await _notices_arrive(valkey, installation, client)
    async with Redis.from_url(valkey.client_url) as redis:

        async def workers_listen() -> bool:
            return [client["cmd"] for client in await redis.client_list()].count("brpop") == 2

        await until(workers_listen)
    await judge(installation, client)
