"""How a worker ends: what runs may finish, the rest goes to others at once."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from redis.asyncio import Redis
from sqlalchemy import Connection, select

from shared.database.access import Database
from shared.database.models import replies
from shared.messaging.doorbell import QUEUE
from shared.reply_status import ReplyStatus
from shared.store import prompts, workers
from shared.store.claims import Claim
from tests.fixtures.chats import Chats
from tests.fixtures.demo_counts import client_disconnects, open_streams
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import BOUND_SECONDS, until
from tests.fixtures.workers import BELL, running_worker
from worker.process import WorkerProcess

pytestmark = pytest.mark.anyio


async def test_a_running_reply_may_finish(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    reply_id = await chats.ask_anew(model="demo-3000ms")
    with running_worker(database_url, base_url=demo.base_url, drain_seconds=30):
        await chats.until_status(reply_id, ReplyStatus.IN_PROGRESS)
    reply = await chats.reply(reply_id)
    assert (reply["status"], reply["attempt"]) == (ReplyStatus.COMPLETED, 1)


async def test_what_does_not_finish_in_time_is_handed_back_as_if_never_tried(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    reply_id = await chats.ask_anew(model="demo-silent")
    with running_worker(database_url, base_url=demo.base_url, drain_seconds=0.1):
        await chats.until_status(reply_id, ReplyStatus.IN_PROGRESS)
    counted = select(replies.c.status, replies.c.tries, replies.c.model_calls, replies.c.worker_id)
    row = await database.read(lambda connection: connection.execute(counted).one())
    assert tuple(row) == (ReplyStatus.QUEUED, 0, 0, None)
    (attempt,) = await chats.attempts(reply_id)
    assert attempt["outcome"] == "handed_back"


async def test_what_is_handed_back_can_be_taken_at_once(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    reply_id = await chats.ask_anew("handed back", model="demo-silent-once")
    with running_worker(database_url, base_url=demo.base_url):
        await chats.until_status(reply_id, ReplyStatus.IN_PROGRESS)

        async def is_called() -> bool:
            return await open_streams(demo) > 0

        await until(is_called)
    with running_worker(database_url, base_url=demo.base_url) as process:
        await asyncio.to_thread(process.answer, BELL)
        reply = await chats.until_ended(reply_id)
    assert (reply["status"], reply["attempt"]) == (ReplyStatus.COMPLETED, 2)


async def test_a_bell_is_rung_for_what_is_handed_back(
    database_url: str, chats: Chats, demo: DemoProcess, valkey: Valkey
) -> None:
    reply_id = await chats.ask_anew(model="demo-silent")
    with running_worker(database_url, base_url=demo.base_url, redis_url=valkey.url):
        await chats.until_status(reply_id, ReplyStatus.IN_PROGRESS)
    async with Redis.from_url(valkey.client_url) as redis:
        (bell,) = await redis.lrange(QUEUE, 0, -1)
    assert b"asyncchat.generate_replies" in bell


async def test_the_call_to_the_model_is_ended(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    left_before = await client_disconnects(demo)
    reply_id = await chats.ask_anew(model="demo-drip")

    async def is_called() -> bool:
        return await open_streams(demo) > 0

    async def has_left() -> bool:
        return await client_disconnects(demo) == left_before + 1

    with running_worker(database_url, base_url=demo.base_url):
        await chats.until_status(reply_id, ReplyStatus.IN_PROGRESS)
        await until(is_called)
    await until(has_left)


async def test_the_worker_signs_off(database: Database, database_url: str, demo: DemoProcess) -> None:
    with running_worker(database_url, base_url=demo.base_url):
        assert len(await database.read(workers.beats)) == 1
    assert await database.read(workers.beats) == {}


async def test_a_bell_that_comes_during_the_drain_claims_nothing(
    database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    """Not even one that is heard in the same breath as the signal, by a loop that had been busy."""
    held, late = await chats.ask_anew(model="demo-3000ms"), ""
    with running_worker(database_url, base_url=demo.base_url, drain_seconds=30) as process:
        await chats.until_status(held, ReplyStatus.IN_PROGRESS)
        is_asked = threading.Event()
        process._thread.loop.call_soon_threadsafe(is_asked.wait)
        process.begin_drain()
        late = await chats.ask_anew(model="demo-fast")
        heard = asyncio.run_coroutine_threadsafe(process._slots.answer(BELL), process._thread.loop)
        is_asked.set()
        await asyncio.wrap_future(heard)
        await chats.until_status(held, ReplyStatus.COMPLETED)
    assert (await chats.reply(late))["status"] == ReplyStatus.QUEUED


async def test_a_history_that_is_still_being_read_is_waited_for(
    database_url: str,
    chats: Chats,
    demo: DemoProcess,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Or the event loop would end in the middle of it, and complain."""
    two = {await chats.ask_anew(model="demo-fast") for _ in range(2)}
    reading, build = threading.Event(), prompts.build
    process: WorkerProcess

    def build_slowly(connection: Connection, claim: Claim, *, budget: int) -> list[prompts.Message]:
        reading.set()
        # Without anybody who waits for it, it ends last of all.
        process._database.writer._thread.join(timeout=0.5)
        return build(connection, claim, budget=budget)

    monkeypatch.setattr(prompts, "build", build_slowly)
    with running_worker(database_url, base_url=demo.base_url) as process:
        await asyncio.to_thread(reading.wait, BOUND_SECONDS)
    for reply_id in two:
        reply = await chats.reply(reply_id)
        assert (reply["status"], reply["attempt"]) == (ReplyStatus.QUEUED, 1)
    assert not process._slots._bench.reads._trips
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]
