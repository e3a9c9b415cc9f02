"""Cancelling: what the client hears, and who is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.services import candidates
from shared.clock import now_ms
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.integration.api.gateway import LONG_SECONDS, Gateway, PlayedWorker, running_gateway, still_waits
from tests.integration.api.redis_side import ear, until_rung

pytestmark = pytest.mark.anyio


async def ask_one(gateway: Gateway) -> str:
    """The id of the one reply of a new conversation."""
    turn = await gateway.ask(await gateway.new_conversation())
    return str(turn["replies"][0]["id"])


async def cancel(gateway: Gateway, reply_id: str) -> dict[str, Any]:
    answer = await gateway.client.post(f"/replies/{reply_id}/cancel/")
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


async def _is_asked_to_stop(gateway: Gateway, reply_id: str) -> bool:
    return bool((await gateway.get(f"/replies/{reply_id}/"))["stop_requested"] == "cancel")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel does not wait for the worker."""
    monkeypatch.setattr(candidates, "CANCEL_WAIT_SECONDS", 0.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel waits as long as it takes."""
    monkeypatch.setattr(candidates, "CANCEL_WAIT_SECONDS", float(LONG_SECONDS))


async def test_a_queued_reply_is_cancelled_at_once(gateway: Gateway) -> None:
    reply_id = await ask_one(gateway)
    reply = await cancel(gateway, reply_id)
    assert (reply["id"], reply["status"], reply["content"]) == (reply_id, "cancelled", "")
    assert reply["stop_requested"] == "cancel"
    assert reply["finished_at"] is not None
    assert reply["queue"]["waiting_for"] is None
    assert reply == await gateway.get(reply["url"])


@pytest.mark.usefixtures("patient")
async def test_the_answer_waits_until_the_worker_has_stopped(gateway: Gateway, worker: PlayedWorker) -> None:
    reply_id = await ask_one(gateway)
    (claim,) = await worker.claim()
    cancelling = asyncio.create_task(cancel(gateway, reply_id))
    await until(lambda: _is_asked_to_stop(gateway, reply_id))
    assert await still_waits(cancelling)
    await worker.complete(claim, "Hello, Ad")
    reply = await asyncio.wait_for(cancelling, LONG_SECONDS)
    assert (reply["status"], reply["content"], reply["message_id"]) == ("cancelled", "Hello, Ad", None)
    assert reply["usage"] == {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8, "estimated": False}
    assert (reply["error"], reply["incomplete_reason"], reply["selected"]) == (None, None, False)


async def test_a_worker_that_does_not_stop_is_not_waited_for_any_longer(
    gateway: Gateway, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "CANCEL_WAIT_SECONDS", 0.1)
    reply_id = await ask_one(gateway)
    (claim,) = await worker.claim()
    reply = await cancel(gateway, reply_id)
    assert (reply["status"], reply["stop_requested"], reply["finished_at"]) == ("in_progress", "cancel", None)
    await worker.complete(claim)
    assert (await gateway.get(reply["url"]))["status"] == "cancelled"


@pytest.mark.usefixtures("impatient")
async def test_workers_are_told_each_time(gateway: Gateway, worker: PlayedWorker, shared_valkey: Valkey) -> None:
    reply_id = await ask_one(gateway)
    await worker.claim()
    async with ear(shared_valkey) as heard:
        for _ in range(2):
            await cancel(gateway, reply_id)
            assert await heard.next() == reply_id


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
async def test_a_reply_that_has_ended_comes_back_unchanged(gateway: Gateway, worker: PlayedWorker, ending: str) -> None:
    reply_id = await ask_one(gateway)
    if ending == "cancelled":
        await cancel(gateway, reply_id)
    else:
        (claim,) = await worker.claim()
        await (worker.complete(claim) if ending == "completed" else worker.fail(claim))
    before = await gateway.get(f"/replies/{reply_id}/")
    assert before["status"] == ending
    assert await cancel(gateway, reply_id) == before


@pytest.mark.usefixtures("patient")
async def test_many_cancels_at_once_get_one_answer(gateway: Gateway, worker: PlayedWorker) -> None:
    reply_id = await ask_one(gateway)
    (claim,) = await worker.claim()
    async with running_gateway() as other:
        cancelling = [
            asyncio.create_task(cancel(gateway_, reply_id)) for gateway_ in (gateway, other) for _ in range(10)
        ]
        await until(lambda: _is_asked_to_stop(gateway, reply_id))
        assert await still_waits(cancelling[0])
        await worker.complete(claim, "Hello")
        replies = await asyncio.wait_for(asyncio.gather(*cancelling), LONG_SECONDS)
    assert all(reply == replies[0] for reply in replies)
    assert replies[0]["status"] == "cancelled"


async def test_who_waits_for_a_reply_hears_of_its_cancellation(gateway: Gateway) -> None:
    reply_id = await ask_one(gateway)
    async with running_gateway() as other:
        waiting = asyncio.create_task(other.get(f"/replies/{reply_id}/?wait=30"))
        assert await still_waits(waiting)
        await cancel(gateway, reply_id)
        assert (await asyncio.wait_for(waiting, LONG_SECONDS))["status"] == "cancelled"


async def test_the_next_turn_is_rung_for(gateway: Gateway, worker: PlayedWorker, shared_valkey: Valkey) -> None:
    conversation_id = await gateway.new_conversation()
    first = await gateway.ask(conversation_id)
    second = await gateway.ask(conversation_id)
    (waiting,) = second["replies"]
    await until_rung(shared_valkey, waiting["id"])
    await cancel(gateway, first["replies"][0]["id"])
    await until_rung(shared_valkey, waiting["id"], times=2)
    assert [claim.reply_id for claim in await worker.claim()] == [waiting["id"]]


async def test_a_reply_that_waits_for_its_next_try_keeps_its_text(gateway: Gateway, worker: PlayedWorker) -> None:
    reply_id = await ask_one(gateway)
    (claim,) = await worker.claim()
    await worker.write(claim, "Hello, Ad")
    await worker.put_back(claim, next_at=now_ms() + 60_000)
    reply = await cancel(gateway, reply_id)
    assert (reply["status"], reply["content"], reply["attempt"]) == ("cancelled", "Hello, Ad", 1)


async def test_siblings_are_cancelled_apart(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id, n=3)
    await cancel(gateway, turn["replies"][1]["id"])
    await worker.answer_all()
    found = await gateway.get(f"/conversations/{conversation_id}/turns/1/")
    assert [reply["status"] for reply in found["replies"]] == ["completed", "cancelled", "completed"]


@pytest.mark.usefixtures("impatient")
async def test_a_cancelled_answer_is_no_part_of_the_conversation(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id, "Hello")
    (claim,) = await worker.claim()
    await cancel(gateway, turn["replies"][0]["id"])
    await worker.complete(claim, "Hello, Ada")
    found = await gateway.get(f"/conversations/{conversation_id}/")
    assert [message["content"] for message in found["messages"]] == ["Hello"]


@pytest.mark.usefixtures("patient")
async def test_a_reply_that_is_deleted_meanwhile_is_not_found(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id)
    await worker.claim()
    path = f"/replies/{turn['replies'][0]['id']}/cancel/"
    cancelling = asyncio.create_task(gateway.client.post(path))
    assert await still_waits(cancelling)
    await gateway.client.delete(f"/conversations/{conversation_id}/")
    assert (await asyncio.wait_for(cancelling, LONG_SECONDS)).status_code == 404


@pytest.mark.parametrize("reply_id", ["reply_01m8376nm1zqqnsr0dt18yp372", "reply_x", "conv_01m8376nm1zqqnsr0dt18yp372"])
@pytest.mark.parametrize("what", ["cancel", "select", "retry", "regenerate"])
async def test_an_unknown_or_malformed_reply_is_not_found(gateway: Gateway, what: str, reply_id: str) -> None:
    answer = await gateway.client.post(f"/replies/{reply_id}/{what}/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_cancel_is_a_post(gateway: Gateway) -> None:
    reply_id = await ask_one(gateway)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = await gateway.client.request(method, f"/replies/{reply_id}/cancel/")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert (await gateway.get(f"/replies/{reply_id}/"))["status"] == "queued"


async def test_without_redis_it_is_as_good(environment: pytest.MonkeyPatch, worker: PlayedWorker) -> None:
    """Only slower, where a worker has the reply."""
    environment.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    environment.setattr(candidates, "CANCEL_WAIT_SECONDS", float(LONG_SECONDS))
    async with running_gateway() as gateway:
        queued, running = await ask_one(gateway), await ask_one(gateway)
        assert (await cancel(gateway, queued))["status"] == "cancelled"
        (claim,) = await worker.claim()
        cancelling = asyncio.create_task(cancel(gateway, running))
        await until(lambda: _is_asked_to_stop(gateway, running))
        assert await still_waits(cancelling)
        await worker.complete(claim)
        assert (await asyncio.wait_for(cancelling, LONG_SECONDS))["status"] == "cancelled"
