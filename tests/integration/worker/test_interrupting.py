"""A worker whose reply is interrupted or erased: what is kept, and what follows."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from shared.messaging.reply_events import log_key
from shared.reply_status import ReplyStatus
from tests.fixtures.chats import Chats
from tests.fixtures.demo_counts import client_disconnects
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.raw_model import chunk, head, raw_model
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.fixtures.workers import BELL, running_worker
from tests.integration.worker.asking import NEVER, Asking, counted, first_words, until_called, until_left
from worker import slots

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("no_beat", "quick_tick")
async def test_an_interrupted_text_is_kept_and_the_next_turn_follows_from_it_at_once(
    database_url: str, chats: Chats, asking: Asking, shared_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = await chats.start()
    (first,) = await chats.ask(conversation, "Hello", model="any")
    async with raw_model(head(), chunk("Hello, A"), holds=True) as model:
        with running_worker(database_url, base_url=model.base_url, redis_url=shared_valkey.url):
            await asking.until_heard()
            text = await first_words(chats, first)
            # From here on only the end of the first can bring the second.
            monkeypatch.setattr(slots, "TICK_SECONDS", NEVER)
            second = await asking.interrupt(first, "Wait")
            await until(lambda: counted(model.requests, 2))
            reply = await chats.reply(first)
            assert (await chats.reply(second))["status"] == ReplyStatus.IN_PROGRESS
    assert text == "Hello, A"
    assert (reply["status"], reply["incomplete_reason"]) == (ReplyStatus.INCOMPLETE, "interrupted")
    assert (reply["content"], reply["selected"], reply["stop_requested"]) == (text, True, "interrupt")
    assert (reply["input_tokens"] > 0, reply["output_tokens"] > 0) == (True, True)
    assert await chats.messages(conversation) == [("user", "Hello"), ("assistant", text), ("user", "Wait")]
    assert [message["content"] for message in model.asked["messages"]] == ["Hello", text, "Wait"]


@pytest.mark.usefixtures("no_beat", "quick_tick")
async def test_an_answer_interrupted_before_its_first_word_leaves_nothing(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking, shared_valkey: Valkey
) -> None:
    conversation = await chats.start()
    (first,) = await chats.ask(conversation, "Hello", model="demo-silent")
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url):
        await asking.until_heard()
        await until_called(demo)
        second = await asking.interrupt(first, "Wait", model="demo-transcript")
        reply = await chats.until_ended(second)
        stopped = await chats.reply(first)
    assert (stopped["status"], stopped["content"], stopped["selected"]) == (ReplyStatus.INCOMPLETE, "", False)
    assert reply["status"] == ReplyStatus.COMPLETED
    assert [role for role, _ in await chats.messages(conversation)] == ["user", "user", "assistant"]


@pytest.mark.usefixtures("no_beat", "no_tick")
async def test_a_deletion_stops_the_call_at_once(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking, shared_valkey: Valkey
) -> None:
    before = await client_disconnects(demo)
    conversation = await chats.start()
    (reply_id,) = await chats.ask(conversation, model="demo-stall")
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url) as process:
        await asking.until_heard()
        ringing = asyncio.create_task(asyncio.to_thread(process.answer, BELL))
        await until_called(demo)
        await chats.forget(conversation)
        await asking.tell(reply_id)
        await until_left(demo, before)
        await ringing


@pytest.mark.usefixtures("quick_tick")
async def test_a_worker_that_speaks_on_after_an_erasure_erases_what_it_wrote_down(
    database_url: str, chats: Chats, demo: DemoProcess, shared_valkey: Valkey
) -> None:
    """Nobody tells it: it finds out when it stores the text so far."""
    before = await client_disconnects(demo)
    conversation = await chats.start()
    (reply_id,) = await chats.ask(conversation, model="demo-30000ms")
    async with Redis.from_url(shared_valkey.client_url) as redis:

        async def has_log() -> bool:
            return bool(await redis.exists(log_key(reply_id)))

        async def has_none() -> bool:
            return not await has_log()

        with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url):
            await first_words(chats, reply_id)
            await until(has_log)
            await chats.forget(conversation)
            await until_left(demo, before)
            await until(has_none)
