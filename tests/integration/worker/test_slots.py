"""How a worker fills its slots, in which order it answers, and what it does when things go wrong around it."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, RowMapping, insert

from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT, messages
from shared.ids import new_message_id
from shared.reply_status import ReplyError, ReplyStatus
from shared.store import claims, takeovers, workers
from shared.store.takeovers import Caps
from tests.fixtures.chats import Chats
from tests.fixtures.demo_counts import client_disconnects, open_streams, requests_of
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.locking import locked_against_writing, lose_patience_soon
from tests.fixtures.raw_model import DONE, chunk, head, raw_model
from tests.fixtures.waiting import BOUND_SECONDS, until, until_now_is
from tests.fixtures.workers import BELL, running_worker
from worker import slots
from worker.model_answer import Finished
from worker.model_client import ModelRequest, OpenAIModelClient
from worker.process import WorkerProcess

pytestmark = pytest.mark.anyio

CAPS = Caps(tries=4, model_calls=2)


@pytest.fixture
def no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not look by itself while the test runs."""
    monkeypatch.setattr(slots, "TICK_SECONDS", 3600.0)


def most_at_once(attempts: Sequence[RowMapping]) -> int:
    """The largest number of attempts that ran at one moment; one that begins as another ends is not beside it."""
    moments = [(attempt["ended_at"], -1) for attempt in attempts] + [(attempt["started_at"], 1) for attempt in attempts]
    return max(itertools.accumulate(step for _, step in sorted(moments)))


async def test_work_is_found_without_any_bell(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    """There is no Redis at all here."""
    with running_worker(database_url, base_url=demo.base_url):
        reply = await chats.until_ended(await chats.ask_anew("Hello, I am Ada", model="demo-fast"))
    assert reply["status"] == ReplyStatus.COMPLETED
    assert reply["content"].startswith("Hello Ada")


@pytest.mark.usefixtures("no_tick")
async def test_a_bell_brings_an_answer_at_once(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    with running_worker(database_url, base_url=demo.base_url) as process:
        reply_id = await chats.ask_anew(model="demo-fast")
        await asyncio.to_thread(process.answer, BELL)
        assert (await chats.reply(reply_id))["status"] == ReplyStatus.COMPLETED


async def test_no_more_replies_run_than_there_are_slots(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    reply_ids = [await chats.ask_anew(model="demo-100ms") for _ in range(9)]
    with running_worker(database_url, base_url=demo.base_url, slots=3) as process:
        await asyncio.gather(*(asyncio.to_thread(process.answer, 8 * BELL) for _ in range(3)))
        for reply_id in reply_ids:
            await chats.until_status(reply_id, ReplyStatus.COMPLETED)
    attempts = [attempt for reply_id in reply_ids for attempt in await chats.attempts(reply_id)]
    assert most_at_once(attempts) == 3


@pytest.mark.usefixtures("no_tick")
async def test_a_bell_without_a_free_slot_returns_at_once(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    reply_ids = [await chats.ask_anew(model="demo-silent") for _ in range(2)]
    with running_worker(database_url, base_url=demo.base_url, slots=1) as process:
        ringing = asyncio.create_task(asyncio.to_thread(process.answer, BELL))
        await chats.until_status(reply_ids[0], ReplyStatus.IN_PROGRESS)
        async with asyncio.timeout(BOUND_SECONDS):
            await asyncio.to_thread(process.answer, BELL)
        assert (await chats.reply(reply_ids[1]))["status"] == ReplyStatus.QUEUED
    await ringing


@pytest.mark.usefixtures("no_tick")
async def test_a_freed_slot_takes_the_next_reply_at_once(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    """One bell and no tick: only the end of one reply can have brought the next."""
    reply_ids = [await chats.ask_anew(model="demo-fast") for _ in range(5)]
    with running_worker(database_url, base_url=demo.base_url, slots=1) as process:
        await asyncio.to_thread(process.answer, BELL)
        for reply_id in reply_ids:
            await chats.until_status(reply_id, ReplyStatus.COMPLETED)


@pytest.mark.usefixtures("no_tick")
async def test_turns_asked_at_once_are_answered_one_after_the_other_without_a_pause(
    database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    conversation = await chats.start()
    asked = [await chats.ask(conversation, f"What is {number} + 1?") for number in range(4)]
    reply_ids = [reply_id for (reply_id,) in asked]
    with running_worker(database_url, base_url=demo.base_url) as process:
        await asyncio.to_thread(process.answer, BELL)
        replies = [await chats.until_status(reply_id, ReplyStatus.COMPLETED) for reply_id in reply_ids]
    assert all(earlier["finished_at"] <= later["started_at"] for earlier, later in itertools.pairwise(replies))


async def test_each_turn_is_answered_from_what_was_said_before(
    database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    conversation = await chats.start()
    await chats.ask(conversation, "My name is Ada")
    (last,) = await chats.ask(conversation, "What is my name?")
    with running_worker(database_url, base_url=demo.base_url):
        reply = await chats.until_status(last, ReplyStatus.COMPLETED)
    assert "Your name is Ada" in reply["content"]
    assert [role for role, _ in await chats.messages(conversation)] == ["user", "assistant"] * 2


async def test_the_replies_of_one_turn_run_side_by_side(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    reply_ids = await chats.ask(await chats.start(), model="demo-300ms", n=3)
    with running_worker(database_url, base_url=demo.base_url):
        for reply_id in reply_ids:
            await chats.until_status(reply_id, ReplyStatus.COMPLETED)
    assert most_at_once([attempt for reply_id in reply_ids for attempt in await chats.attempts(reply_id)]) == 3


async def test_a_running_reply_shows_its_text_so_far(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    reply_id = await chats.ask_anew(model="demo-3000ms")

    async def half_told() -> Mapping[str, Any] | None:
        reply = await chats.reply(reply_id)
        return reply if reply["content"] else None

    with running_worker(database_url, base_url=demo.base_url):
        half = await until(half_told)
        whole = await chats.until_ended(reply_id)
    assert half is not None
    assert half["status"] == ReplyStatus.IN_PROGRESS
    assert whole["content"].startswith(half["content"])
    assert len(whole["content"]) > len(half["content"])


@pytest.mark.parametrize("model", ["demo-drip", "demo-silent"])
async def test_a_deleted_conversation_ends_its_generation_and_the_call(
    model: str, database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    conversation = await chats.start()
    (reply_id,) = await chats.ask(conversation, model=model)
    left_before = await client_disconnects(demo)

    async def is_called() -> bool:
        return await open_streams(demo) > 0

    async def has_left() -> bool:
        return await client_disconnects(demo) > left_before

    with running_worker(database_url, base_url=demo.base_url):
        await chats.until_status(reply_id, ReplyStatus.IN_PROGRESS)
        await until(is_called)
        await chats.forget(conversation)
        await until(has_left)
    assert await chats.messages(conversation) == []


async def test_an_answer_is_stored_once_the_database_takes_it_without_asking_again(
    database_url: str, chats: Chats, caplog: pytest.LogCaptureFixture
) -> None:
    reply_id = await chats.ask_anew(model="any")

    async def has_waited() -> bool:
        return "will store this again" in caplog.text

    async with raw_model(head(), chunk("Hi", finish="stop"), DONE, waits=True) as model:

        async def is_asked() -> bool:
            return len(model.requests) == 1

        with running_worker(database_url, base_url=model.base_url), caplog.at_level(logging.WARNING):
            await until(is_asked)
            with locked_against_writing(database_url), pytest.MonkeyPatch.context() as in_a_hurry:
                lose_patience_soon(in_a_hurry, seconds=0.2)
                model.may_end.set()
                await until(has_waited)
            reply = await chats.until_ended(reply_id)
        assert (reply["status"], reply["attempt"]) == (ReplyStatus.COMPLETED, 1)
        assert len(model.requests) == 1


async def test_an_unexpected_error_ends_the_reply_after_as_many_calls_as_allowed(
    database_url: str, chats: Chats, demo: DemoProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    async def explode(_self: OpenAIModelClient, _request: ModelRequest, **_: object) -> Finished:
        nonlocal calls
        calls += 1
        raise RuntimeError("boom")

    monkeypatch.setattr(OpenAIModelClient, "stream", explode)
    reply_id = await chats.ask_anew(model="demo-fast")
    with running_worker(database_url, base_url=demo.base_url):
        reply = await chats.until_ended(reply_id)
    assert (reply["status"], reply["error_code"]) == (ReplyStatus.FAILED, ReplyError.ATTEMPTS_EXHAUSTED)
    assert calls == CAPS.model_calls


def _occupy_the_answers_place(connection: Connection, conversation_id: str) -> None:
    """Puts a message where the first candidate's answer belongs, so that storing that one must fail."""
    row = {
        "id": new_message_id(),
        "tenant_id": DEFAULT_TENANT,
        "conversation_id": conversation_id,
        "turn": 1,
        "position": 1,
        "role": "assistant",
        "content": "in the way",
        "created_at": now_ms(),
    }
    connection.execute(insert(messages), row)


async def test_an_answer_that_cannot_be_stored_ends_the_reply_after_as_many_calls_as_allowed(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess, caplog: pytest.LogCaptureFixture
) -> None:
    model = "demo-that-cannot-be-stored"
    conversation = await chats.start()
    (reply_id,) = await chats.ask(conversation, model=model)
    await database.write(_occupy_the_answers_place, conversation)
    with running_worker(database_url, base_url=demo.base_url):
        reply = await chats.until_ended(reply_id)
    assert (reply["status"], reply["error_code"]) == (ReplyStatus.FAILED, ReplyError.ATTEMPTS_EXHAUSTED)
    assert await requests_of(demo, model) == CAPS.model_calls
    assert "an attempt failed unexpectedly" in caplog.text
    assert "nice to meet you" not in caplog.text


def _bury(connection: Connection, process_id: str) -> None:
    """What a sweeper does with a process that it takes for dead."""
    workers.remove(connection, process_id)
    takeovers.take_over(connection, process_id, last_beat=None, caps=CAPS, now=now_ms())


async def test_a_worker_taken_for_dead_stops_and_goes_on_under_a_new_id(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    model = "demo-stall-once"
    reply_id = await chats.ask_anew("taken for dead", model=model)
    left_before = await client_disconnects(demo)

    async def is_told() -> bool:
        return bool((await chats.reply(reply_id))["content"])

    with running_worker(database_url, base_url=demo.base_url):
        await until(is_told)
        (lost,) = await chats.attempts(reply_id)
        await database.write(_bury, lost["worker_id"])
        reply = await chats.until_ended(reply_id)
    lost, kept = await chats.attempts(reply_id)
    assert (reply["status"], lost["outcome"], kept["outcome"]) == (ReplyStatus.COMPLETED, "lost", "completed")
    assert lost["worker_id"] != kept["worker_id"]
    assert await client_disconnects(demo) == left_before + 1


async def _become_an_orphan(database: Database, process: WorkerProcess) -> None:
    """Claims what is due for the worker behind its back, as a claim does whose commit has an unknown outcome."""
    await database.write(claims.claim, process._heartbeat.process_id, limit=1, now=now_ms())


@pytest.mark.usefixtures("no_tick")
async def test_a_held_row_that_nobody_works_on_is_tried_again(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    reply_id = await chats.ask_anew(model="demo-fast")
    with running_worker(database_url, base_url=demo.base_url) as process:
        await _become_an_orphan(database, process)
        queued = await chats.until_status(reply_id, ReplyStatus.QUEUED)
        await until_now_is(queued["available_at"])
        await asyncio.to_thread(process.answer, BELL)
        reply = await chats.reply(reply_id)
    assert (reply["status"], reply["attempt"]) == (ReplyStatus.COMPLETED, 2)


@pytest.mark.usefixtures("no_tick")
async def test_a_held_row_that_nobody_works_on_ends_when_the_calls_are_used_up(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    """Whatever it is that kills coroutines may not keep calling the model."""
    reply_id = await chats.ask_anew(model="demo-fast")
    with running_worker(database_url, base_url=demo.base_url, max_model_calls=1) as process:
        await _become_an_orphan(database, process)
        reply = await chats.until_ended(reply_id)
    assert (reply["status"], reply["error_code"]) == (ReplyStatus.FAILED, ReplyError.ATTEMPTS_EXHAUSTED)
