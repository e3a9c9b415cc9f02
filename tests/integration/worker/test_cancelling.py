"""A worker that is asked to cancel a reply: what ends, what is kept, and who pays for what."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import pytest

from shared.liveness import heartbeat
from shared.reply_status import ReplyStatus
from tests.fixtures.chats import Chats
from tests.fixtures.demo_counts import client_disconnects, open_streams
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.raw_model import raw_model, refusal
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.fixtures.workers import BELL, running_worker
from tests.integration.worker.asking import NEVER, Asking, counted, first_words, until_called, until_left
from worker.model_client import ModelRequest, OpenAIModelClient
from worker.process import WorkerProcess

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("no_beat", "quick_tick")
async def test_a_word_over_redis_stops_the_call_and_keeps_text_and_usage(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking, shared_valkey: Valkey
) -> None:
    before = await client_disconnects(demo)
    reply_id = await chats.ask_anew("Hello, I am Ada", model="demo-stall")
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url):
        await asking.until_heard()
        text = await first_words(chats, reply_id)
        await asking.cancel(reply_id)
        reply = await chats.until_ended(reply_id)
        await until_left(demo, before)
    assert (reply["status"], reply["message_id"]) == (ReplyStatus.CANCELLED, None)
    assert reply["content"].startswith(text)
    assert (reply["error_code"], reply["incomplete_reason"], reply["selected"]) == (None, None, False)
    assert reply["input_tokens"] > 0
    assert reply["output_tokens"] > 0
    (attempt,) = await chats.attempts(reply_id)
    assert (attempt["outcome"], attempt["input_tokens"]) == ("cancelled", reply["input_tokens"])


@pytest.mark.usefixtures("no_beat", "quick_tick")
async def test_it_stops_before_the_first_word(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking, shared_valkey: Valkey
) -> None:
    reply_id = await chats.ask_anew("Hello, I am Ada", model="demo-silent")
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url):
        await asking.until_heard()
        await until_called(demo)
        await asking.cancel(reply_id)
        reply = await chats.until_ended(reply_id)
        await until(lambda: nobody_is_served(demo))
    assert (reply["status"], reply["content"], reply["output_tokens"]) == (ReplyStatus.CANCELLED, "", 0)
    assert reply["input_tokens"] > 0


@pytest.mark.usefixtures("no_beat", "quick_tick")
async def test_it_stops_in_the_middle_of_a_flood(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking, shared_valkey: Valkey
) -> None:
    reply_id = await chats.ask_anew("Hello, I am Ada", model="demo-flood")
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url):
        await asking.until_heard()
        text = await first_words(chats, reply_id)
        await asking.cancel(reply_id)
        reply = await chats.until_ended(reply_id)
        await until(lambda: nobody_is_served(demo))
    assert reply["status"] == ReplyStatus.CANCELLED
    assert reply["content"].startswith(text)


async def nobody_is_served(demo: DemoProcess) -> bool:
    return await open_streams(demo) == 0


async def test_without_redis_the_beat_stops_it(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking
) -> None:
    before = await client_disconnects(demo)
    reply_id = await chats.ask_anew(model="demo-stall")
    with running_worker(database_url, base_url=demo.base_url):
        text = await first_words(chats, reply_id)
        await asking.cancel(reply_id, tells=False)
        reply = await chats.until_ended(reply_id)
        await until_left(demo, before)
    assert reply["status"] == ReplyStatus.CANCELLED
    assert reply["content"].startswith(text)


@pytest.mark.usefixtures("no_beat", "quick_tick")
async def test_only_what_was_asked_to_stop_stops(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking, shared_valkey: Valkey
) -> None:
    """A word about a reply that nobody asked to stop means nothing: what the database says of it counts."""
    conversation = await chats.start()
    one, two, three = await chats.ask(conversation, model="demo-3000ms", n=3)
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url):
        await asking.until_heard()
        await chats.until_status(one, ReplyStatus.IN_PROGRESS)
        await asking.tell(one, "reply_unknown", "", "ä" * 10_000)
        await asking.cancel(two)
        ended = [await chats.until_ended(reply_id) for reply_id in (one, two, three)]
    assert [reply["status"] for reply in ended] == ["completed", "cancelled", "completed"]


async def test_a_reply_that_waits_for_its_next_try_is_not_tried_again(
    database_url: str, chats: Chats, asking: Asking
) -> None:
    overloaded = refusal("429 Too Many Requests", {"error": {"message": "Slow down"}}, more=["Retry-After: 3"])
    async with raw_model(overloaded) as model:
        with running_worker(database_url, base_url=model.base_url):
            reply_id = await chats.ask_anew(model="any")

            async def has_tried() -> bool:
                return any(attempt["ended_at"] for attempt in await chats.attempts(reply_id))

            await until(has_tried)
            await asking.cancel(reply_id)
            reply = await chats.reply(reply_id)
            assert reply["status"] == ReplyStatus.CANCELLED
            # Another reply, whose next try comes later than that one's would have come.
            other = await chats.ask_anew(model="other", deadline_seconds=60)

            async def has_been_tried_twice() -> bool:
                return len(await chats.attempts(other)) == 2

            await until(has_been_tried_twice)
    assert [attempt["outcome"] for attempt in await chats.attempts(reply_id)] == ["retried"]


async def test_a_cancel_and_the_end_at_once_leave_one_of_both(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking, shared_valkey: Valkey
) -> None:
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url) as process:
        await asking.until_heard()

        async def race() -> tuple[Any, list[tuple[str, str]]]:
            conversation = await chats.start()
            (reply_id,) = await chats.ask(conversation, "Hello, I am Ada", model="demo-50ms")
            ringing = asyncio.create_task(asyncio.to_thread(process.answer, BELL))
            await asyncio.sleep(random.uniform(0, 0.15))
            await asking.cancel(reply_id)
            reply = await chats.until_ended(reply_id)
            await ringing
            return reply, await chats.messages(conversation)

        for reply, messages in await asyncio.gather(*(race() for _ in range(30))):
            if reply["status"] == ReplyStatus.COMPLETED:
                assert messages == [("user", "Hello, I am Ada"), ("assistant", reply["content"])]
                assert reply["stop_requested"] is None
            else:
                assert (reply["status"], reply["message_id"]) == (ReplyStatus.CANCELLED, None)
                assert messages == [("user", "Hello, I am Ada")]


@pytest.mark.usefixtures("quick_tick")
async def test_a_cancelled_reply_that_is_tried_again_is_answered(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking, shared_valkey: Valkey
) -> None:
    reply_id = await chats.ask_anew("cancel me, then try again", model="demo-stall-once")
    with running_worker(database_url, base_url=demo.base_url, redis_url=shared_valkey.url):
        await asking.until_heard()
        await first_words(chats, reply_id)
        await asking.cancel(reply_id)
        await chats.until_ended(reply_id)
        await asking.retry(reply_id)
        reply = await chats.until_ended(reply_id)
    assert (reply["status"], reply["attempt"], reply["stop_requested"]) == (ReplyStatus.COMPLETED, 2, None)
    outcomes = [attempt["outcome"] for attempt in await chats.attempts(reply_id)]
    assert outcomes == ["cancelled", "completed"]


async def test_a_call_that_is_slow_to_end_is_asked_once(
    database_url: str,
    chats: Chats,
    asking: Asking,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Every beat finds the wish again meanwhile; what else there is to look after must not suffer from that."""
    begun: list[str] = []
    asked_to_end: list[str] = []
    goes_on: dict[str, asyncio.Event] = {}

    async def stream(_self: OpenAIModelClient, request: ModelRequest, *, on_text: Callable[[str], None]) -> None:
        on_text("Hello")
        begun.append(request.model)
        try:
            await asyncio.sleep(NEVER)
        finally:
            asked_to_end.append(request.model)
            goes_on[request.model] = asyncio.Event()
            await goes_on[request.model].wait()

    monkeypatch.setattr(OpenAIModelClient, "stream", stream)
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    first, second = [await chats.ask_anew(model=model) for model in ("first", "second")]
    with running_worker(database_url, base_url="http://127.0.0.1:1/v1") as process:
        await until(lambda: counted(begun, 2))
        for reply_id, count in ((first, 1), (second, 2)):
            await asking.cancel(reply_id, tells=False)
            await until(lambda: counted(asked_to_end, count))  # noqa: B023  Awaited here.
            await three_beats(process)
        for event in goes_on.values():
            process._thread.loop.call_soon_threadsafe(event.set)
        ended = [await chats.until_ended(reply_id) for reply_id in (first, second)]
    assert [(reply["status"], reply["content"]) for reply in ended] == [(ReplyStatus.CANCELLED, "Hello")] * 2
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def three_beats(process: WorkerProcess) -> None:
    """Returns when the worker has beaten three times more."""
    beaten = process._heartbeat
    wanted = beaten.committed + 3

    async def has_beaten() -> bool:
        return beaten.committed >= wanted

    await until(has_beaten)


@pytest.mark.usefixtures("no_beat", "quick_tick")
async def test_a_worker_that_drains_still_stops_what_it_is_asked_to(
    database_url: str, chats: Chats, demo: DemoProcess, asking: Asking, shared_valkey: Valkey
) -> None:
    """It would wait for the end of the reply otherwise, and then hand it back."""
    reply_id = await chats.ask_anew(model="demo-stall")
    with running_worker(
        database_url, base_url=demo.base_url, redis_url=shared_valkey.url, drain_seconds=NEVER
    ) as process:
        await asking.until_heard()
        await first_words(chats, reply_id)
        process.begin_drain()
        await asking.cancel(reply_id)
        reply = await chats.until_ended(reply_id)
    assert (reply["status"], reply["attempt"]) == (ReplyStatus.CANCELLED, 1)
