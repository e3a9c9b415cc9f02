"""When the next try is made, and what a try leaves behind."""

from __future__ import annotations

import pytest

from shared.reply_status import ReplyError, ReplyStatus
from tests.fixtures.chats import Chats
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.raw_model import chunk, head, raw_model, refusal
from tests.fixtures.waiting import until
from tests.fixtures.workers import running_worker

pytestmark = pytest.mark.anyio

OVERLOADED = {"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}


async def test_retry_after_is_waited_for(database_url: str, chats: Chats, demo: DemoProcess) -> None:
    """The demo model asks for a second; our own backoff would be a twentieth of that."""
    reply_id = await chats.ask_anew("wait a second", model="demo-fail-429-once")
    with running_worker(database_url, base_url=demo.base_url):
        await chats.until_status(reply_id, ReplyStatus.COMPLETED)
    first, second = await chats.attempts(reply_id)
    assert second["started_at"] - first["started_at"] >= 1000


async def test_how_long_the_model_took_to_begin_is_kept_with_the_try(
    database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    reply_id = await chats.ask_anew("begin after 50 ms", model="demo-fail-503-once")
    patient_id = await chats.ask_anew("begin after 50 ms", model="demo")
    with running_worker(database_url, base_url=demo.base_url):
        await chats.until_status(reply_id, ReplyStatus.COMPLETED)
        await chats.until_status(patient_id, ReplyStatus.COMPLETED)
    failed, _ = await chats.attempts(reply_id)
    (answered,) = await chats.attempts(patient_id)
    assert failed["first_token_ms"] is None
    assert 50 <= answered["first_token_ms"] <= answered["ended_at"] - answered["started_at"]


async def test_a_retry_after_beyond_the_deadline_ends_the_reply_at_once(database_url: str, chats: Chats) -> None:
    async with raw_model(refusal("429 Too Many Requests", OVERLOADED, more=["Retry-After: 3600"])) as model:
        reply_id = await chats.ask_anew(model="any", deadline_seconds=600)
        with running_worker(database_url, base_url=model.base_url):
            reply = await chats.until_ended(reply_id)
    assert (reply["status"], reply["error_code"]) == (ReplyStatus.FAILED, ReplyError.RATE_LIMITED)
    assert reply["finished_at"] < reply["deadline_at"]


async def test_a_reply_that_waits_for_its_next_try_is_queued_and_says_when(database_url: str, chats: Chats) -> None:
    async with raw_model(refusal("429 Too Many Requests", OVERLOADED, more=["Retry-After: 500"])) as model:
        reply_id = await chats.ask_anew(model="any", deadline_seconds=600)

        async def has_tried() -> bool:
            return any(attempt["ended_at"] for attempt in await chats.attempts(reply_id))

        with running_worker(database_url, base_url=model.base_url):
            await until(has_tried)
            reply = await chats.reply(reply_id)
    (tried,) = await chats.attempts(reply_id)
    assert (reply["status"], tried["outcome"]) == (ReplyStatus.QUEUED, "retried")
    assert 490_000 < reply["available_at"] - tried["ended_at"] <= 500_000


async def test_an_attempt_may_not_take_longer_than_its_bound(database_url: str, chats: Chats) -> None:
    """A model that sends something now and then is never silent for long."""
    async with raw_model(head(), *(chunk(f"{number} ") for number in range(3)), holds=True) as model:
        reply_id = await chats.ask_anew(model="any")
        with running_worker(database_url, base_url=model.base_url, attempt_seconds=0.3, max_model_calls=1):
            reply = await chats.until_ended(reply_id)
    assert reply["error_code"] == ReplyError.UPSTREAM_TIMEOUT
