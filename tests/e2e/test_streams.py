"""Two gateways, two workers, and a hundred clients whose connections break all the time: every text is exact."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.e2e.listening import Listened, Listeners, place
from tests.faults.asking import Client
from tests.faults.installation import Installation, Member
from tests.faults.patience import until
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.valkey import Valkey

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

REPLIES, DROPS_EACH = 100, 10
# For what goes wrong once in the middle.
FEWER, SLOTS = 20, 12
# Far longer than a take-over, where somebody else begins anew, and than ten connections take on a busy machine.
LONG_MODEL = "demo-12000ms"


@pytest.fixture
def demo() -> Iterator[DemoProcess]:
    with DemoProcess.started() as process:
        yield process


@pytest.fixture
async def installation(
    database_url: str, valkey: Valkey, demo: DemoProcess, tmp_path: Path
) -> AsyncIterator[Installation]:
    made = Installation(tmp_path, database_url=database_url, redis_url=valkey.url, demo=demo)
    yield made
    made.stop()


@pytest.fixture
async def client(installation: Installation) -> AsyncIterator[Client]:
    async with Client(installation.urls) as client:
        yield client


@pytest.fixture
async def listeners(installation: Installation) -> AsyncIterator[Listeners]:
    async with Listeners(installation.urls) as listeners:
        yield listeners


async def _ask(client: Client, count: int, *, model: str) -> list[Listened]:
    accepted = await client.ask_many(count, model=model)
    return [Listened(each.reply_ids[0]) for each in accepted]


def _drops(chance: random.Random) -> list[int]:
    """After how many events each connection is dropped; none of them is at the end of an answer."""
    return [chance.randint(0, 3) for _ in range(DROPS_EACH)]


async def _are_exact(client: Client, all_listened: Sequence[Listened]) -> None:
    """What each client shows is what is stored."""
    for listened in all_listened:
        stored = await client.get(f"/replies/{listened.reply_id}/")
        assert stored["status"] == "completed"
        assert listened.shown.ended == stored
        assert stored["content"]
        assert listened.shown.text == stored["content"], listened.shown.kinds


async def _said(member: Member, words: str) -> bool:
    return words in member.said


async def _all_show(all_listened: Sequence[Listened], holds: Callable[[Listened], bool]) -> None:
    async def is_so() -> bool:
        return all(holds(listened) for listened in all_listened)

    await until(is_so)


async def test_a_thousand_drops_lose_double_and_reorder_nothing(
    installation: Installation, client: Client, listeners: Listeners
) -> None:
    await installation.start()
    chance = random.Random(5)
    all_listened = await _ask(client, REPLIES, model=LONG_MODEL)
    await asyncio.gather(*(listeners.listen(each, drop_after=_drops(chance)) for each in all_listened))
    await _are_exact(client, all_listened)
    # On a busy machine some answers end before their last drops.
    assert sum(each.drops for each in all_listened) > REPLIES * DROPS_EACH / 2
    assert all(each.shown.restarts == 0 for each in all_listened)
    # They were resumed from the log. A snapshot is as exact, but what comes step by step should come so.
    assert sum(each.shown.snapshots for each in all_listened) <= REPLIES / 10


async def test_fast_answers_are_exact_too(installation: Installation, client: Client, listeners: Listeners) -> None:
    """Most of them end while their clients still connect."""
    await installation.start()
    chance = random.Random(6)
    all_listened = await _ask(client, REPLIES, model="demo-load")
    await asyncio.gather(*(listeners.listen(each, drop_after=_drops(chance)) for each in all_listened))
    await _are_exact(client, all_listened)


async def test_after_a_worker_was_killed_clients_see_the_restart_and_then_the_exact_text(
    installation: Installation, client: Client, listeners: Listeners
) -> None:
    victim = installation.add_worker(slots=SLOTS)
    installation.add_worker(slots=SLOTS)
    await installation.start(workers=0)
    chance = random.Random(7)
    all_listened = await _ask(client, FEWER, model=LONG_MODEL)
    listening = [
        asyncio.create_task(listeners.listen(each, drop_after=_drops(chance) if number % 2 else ()))
        for number, each in enumerate(all_listened)
    ]
    await _all_show(all_listened, lambda each: each.shown.pieces > 0)
    victim.kill()
    await asyncio.gather(*listening)
    await _are_exact(client, all_listened)
    # Each worker had some of them.
    assert {each.shown.restarts for each in all_listened} == {0, 1}


async def test_what_a_frozen_worker_says_when_it_wakes_is_never_seen(
    installation: Installation, client: Client, listeners: Listeners
) -> None:
    zombie = installation.add_worker(slots=FEWER)
    await installation.start(workers=0)
    all_listened = await _ask(client, FEWER, model=LONG_MODEL)
    listening = [asyncio.create_task(listeners.listen(each)) for each in all_listened]
    await _all_show(all_listened, lambda each: each.shown.pieces > 0)
    with zombie.frozen():
        installation.add_worker(slots=FEWER)
        await _all_show(all_listened, lambda each: each.shown.restarts > 0 and bool(each.shown.text))
    # It wakes to what the model has sent it meanwhile, while the other worker still speaks.
    await until(lambda: _said(zombie, "others took"))
    assert any(each.shown.ended is None for each in all_listened)
    await asyncio.gather(*listening)
    await _are_exact(client, all_listened)
    for each in all_listened:
        assert each.shown.restarts == 1
        assert [place(written) for written in each.ids] == sorted(place(written) for written in each.ids)


async def test_after_redis_was_wiped_clients_that_resume_get_a_snapshot_and_then_the_exact_text(
    installation: Installation, client: Client, listeners: Listeners, *, valkey: Valkey
) -> None:
    await installation.start()
    all_listened = await _ask(client, FEWER, model=LONG_MODEL)
    away, present = all_listened[::2], all_listened[1::2]
    listening = [asyncio.create_task(listeners.listen(each)) for each in present]
    # Told that it was queued and begun, and a piece.
    await asyncio.gather(*(listeners.connect(each, events=3) for each in away))
    heard = {each.reply_id: each.shown.pieces for each in present}
    await _all_show(present, lambda each: each.shown.pieces >= heard[each.reply_id] + 4)
    async with Redis.from_url(valkey.client_url) as redis:
        await redis.flushall()
    await asyncio.gather(*(listeners.listen(each) for each in away), *listening)
    await _are_exact(client, all_listened)
    assert all(each.shown.snapshots > 0 for each in away)
    assert all(each.shown.restarts == 0 for each in all_listened)
