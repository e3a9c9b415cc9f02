"""A worker that is asked to stop what it does: what ends, what is kept, and who pays for what."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sized
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.liveness import heartbeat
from shared.messaging.notices import CHANNEL_PREFIX, STOPS
from shared.messaging.reply_events import log_key
from shared.reply_status import OnBusy, ReplyStatus
from shared.store import candidates, stops, turns
from shared.store.turns import Ask
from tests.fixtures.chats import Chats
from tests.fixtures.demo_counts import client_disconnects, open_streams
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.raw_model import chunk, head, raw_model, refusal
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.fixtures.workers import BELL, running_worker
from worker import slots
from worker.model_client import ModelRequest, OpenAIModelClient
from worker.process import WorkerProcess

pytestmark = pytest.mark.anyio

NEVER = 3600.0


@pytest.fixture
def no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not look by itself while the test runs."""
    monkeypatch.setattr(slots, "TICK_SECONDS", NEVER)


@pytest.fixture
def no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not look at what it holds: only the word of somebody can stop it."""
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", NEVER)


@pytest.fixture
def quick_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has come is stored almost at once, so that a test can see it."""
    monkeypatch.setattr(slots, "TICK_SECONDS", 0.02)


class Asking:
    """What a gateway does to stop replies: a write, and then a word to the workers."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis

    async def until_heard(self) -> None:
        """Returns when a worker listens."""

        async def listens() -> bool:
            ((_, listeners),) = await self._redis.pubsub_numsub(CHANNEL_PREFIX + STOPS)
            return bool(listeners)

        await until(listens)

    async def cancel(self, reply_id: str, *, tells: bool = True) -> None:
        """Stops one reply."""
        stopped = await self._database.write(stops.cancel, DEFAULT_TENANT, reply_id, now=now_ms())
        if tells:
            await self.tell(*stopped.running)

    async def interrupt(self, running: str, content: str, *, model: str = "any") -> str:
        """Asks something, in the conversation of a running reply, that will not wait for it. Returns the reply's id."""
        conversation_id = (await Chats(self._database).reply(running))["conversation_id"]
        asked = Ask(content, 1, model, model, 60_000, OnBusy.INTERRUPT)
        turn = await self._database.write(turns.ask, DEFAULT_TENANT, conversation_id, asked=asked, now=now_ms())
        await self.tell(running)
        return str(turn.replies[0]["id"])

    async def retry(self, reply_id: str) -> None:
        """Another try."""
        await self._database.write(candidates.retry, DEFAULT_TENANT, reply_id, deadline_ms=60_000, now=now_ms())

    async def tell(self, *reply_ids: str) -> None:
        """The word alone."""
        for reply_id in reply_ids:
            await self._redis.publish(CHANNEL_PREFIX + STOPS, reply_id)


@pytest.fixture
async def asking(database: Database, shared_valkey: Valkey) -> AsyncIterator[Asking]:
    async with Redis.from_url(shared_valkey.client_url) as redis:
        yield Asking(database, redis)


async def first_words(chats: Chats, reply_id: str) -> str:
    """The text so far, once there is any; a model that stalls says no more."""

    async def text() -> str:
        return str((await chats.reply(reply_id))["content"])

    return await until(text)


async def until_called(demo: DemoProcess) -> None:
    async def is_called() -> bool:
        return await open_streams(demo) > 0

    await until(is_called)


async def until_left(demo: DemoProcess, before: int) -> None:
    """Returns when the model has noticed that one more client hung up."""

    async def has_left() -> bool:
        return await client_disconnects(demo) == before + 1 and await open_streams(demo) == 0

    await until(has_left)


# --- cancel ---


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
    one, two, three = await chats.ask(conversation, model="demo-1000ms", n=3)
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
    overloaded = refusal("429 Too Many Requests", {"error": {"message": "Slow down"}}, more=["Retry-After: 1"])
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


async def counted(items: Sized, count: int) -> bool:
    return len(items) == count


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


# --- interrupt ---


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


# --- delete ---


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
