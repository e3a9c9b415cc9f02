"""A worker that is told at once of what is due, and the bell that follows."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis
from sqlalchemy.exc import OperationalError

from shared.database.access import Database
from shared.messaging.notices import CHANNEL_PREFIX, knocks
from shared.reply_status import ReplyStatus
from shared.store import prompts, workers
from shared.store.claims import Claim
from tests.fixtures.chats import Chats
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import eventually
from tests.fixtures.workers import BELL, running_worker
from worker import slots

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not look by itself while the test runs."""
    monkeypatch.setattr(slots, "TICK_SECONDS", 3600.0)


async def knock(database: Database, valkey: Valkey, said: bytes = b"1") -> None:
    """Tells the worker, once it listens."""
    (process_id,) = await database.read(workers.beats)
    with Redis.from_url(valkey.client_url) as redis:
        await eventually(lambda: redis.publish(CHANNEL_PREFIX + knocks(process_id), said))


async def test_a_knock_brings_an_answer_without_any_bell(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess, shared_valkey: Valkey
) -> None:
    reply_ids = await chats.ask(await chats.start(), model="demo-fast", n=2)
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url):
        await knock(database, shared_valkey, b"2")
        for reply_id in reply_ids:
            await chats.until_status(reply_id, ReplyStatus.COMPLETED)


async def test_the_bell_that_follows_claims_nothing_else_and_lasts_until_the_reply_has_ended(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess, shared_valkey: Valkey
) -> None:
    held = await chats.ask_anew(model="demo-2000ms")
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url) as process:
        await knock(database, shared_valkey)
        await chats.until_status(held, ReplyStatus.IN_PROGRESS)

        async def is_claiming() -> bool:
            return process._slots._claiming._is_busy

        ringing = asyncio.run_coroutine_threadsafe(process._slots.answer([held]), process._thread.loop)
        assert not await asyncio.to_thread(process._thread.run, is_claiming())
        await asyncio.wrap_future(ringing)
        assert (await chats.reply(held))["status"] == ReplyStatus.COMPLETED


async def test_a_worker_without_a_free_slot_leaves_it_to_the_bell(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess, shared_valkey: Valkey
) -> None:
    held = await chats.ask_anew(model="demo-silent")
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url, slots=1):
        await knock(database, shared_valkey)
        await chats.until_status(held, ReplyStatus.IN_PROGRESS)
        other = await chats.ask_anew(model="demo-fast")
        await knock(database, shared_valkey)
        with running_worker(database_url, base_url=demo.base_url) as second:
            await asyncio.to_thread(second.answer, [other])
        assert (await chats.reply(other))["status"] == ReplyStatus.COMPLETED


async def test_a_knock_that_says_no_number_is_passed_over(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess, shared_valkey: Valkey
) -> None:
    reply_id = await chats.ask_anew(model="demo-fast")
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url) as process:
        for said in (b"", b"-1", b"many", b"1"):
            await knock(database, shared_valkey, said)
        await chats.until_status(reply_id, ReplyStatus.COMPLETED)
        assert process._notices.is_connected


async def test_a_history_that_cannot_be_read_keeps_nobody_else_waiting(
    database_url: str, chats: Chats, demo: DemoProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read with the claim once, which fails; then the claim goes without, and the attempt finds out."""
    broken, sound = await chats.ask_anew(model="demo-fast"), await chats.ask_anew(model="demo-fast")
    build = prompts.build

    def fail(connection: object, claim: Claim, *, budget: int) -> list[prompts.Message]:
        if claim.reply_id == broken:
            raise OperationalError("select", {}, Exception("could not decode"))
        return build(connection, claim, budget=budget)  # type: ignore[arg-type]

    monkeypatch.setattr(prompts, "build", fail)
    with running_worker(database_url, base_url=demo.base_url) as process:
        await asyncio.to_thread(process.answer, BELL)
        assert (await chats.reply(broken))["status"] == ReplyStatus.QUEUED
        ringing = asyncio.create_task(asyncio.to_thread(process.answer, BELL))
        await chats.until_status(broken, ReplyStatus.IN_PROGRESS)
        await asyncio.to_thread(process.answer, BELL)
        assert (await chats.reply(sound))["status"] == ReplyStatus.COMPLETED
    await ringing
