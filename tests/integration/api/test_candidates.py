"""Trying again, choosing, and looking at the tries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.clock import now_ms
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.integration.api.candidates import asked, failed, post, selected
from tests.integration.api.gateway import LONG_SECONDS, Gateway, PlayedWorker, running_gateway
from tests.integration.api.redis_side import until_rung

pytestmark = pytest.mark.anyio


async def test_a_failed_reply_is_tried_again(gateway: Gateway, worker: PlayedWorker, shared_valkey: Valkey) -> None:
    reply_id = await failed(gateway, worker)
    await until_rung(shared_valkey, reply_id)
    answer = await post(gateway, reply_id, "retry")
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/replies/{reply_id}/"
    assert answer.headers["Retry-After"] == "1"
    reply = answer.json()
    assert (reply["id"], reply["status"], reply["error"], reply["finished_at"]) == (reply_id, "queued", None, None)
    assert reply == await gateway.get(f"/replies/{reply_id}/")
    await until_rung(shared_valkey, reply_id, times=2)
    await worker.answer_all("At last")
    reply = await gateway.get(f"/replies/{reply_id}/")
    assert (reply["status"], reply["content"], reply["attempt"], reply["selected"]) == ("completed", "At last", 2, True)


async def test_a_cancelled_reply_is_tried_again(gateway: Gateway, worker: PlayedWorker) -> None:
    _, (reply_id,) = await asked(gateway)
    await post(gateway, reply_id, "cancel")
    reply = (await post(gateway, reply_id, "retry")).json()
    assert (reply["status"], reply["stop_requested"]) == ("queued", None)
    await worker.answer_all("At last")
    assert (await gateway.get(f"/replies/{reply_id}/"))["content"] == "At last"


async def test_a_retry_has_a_new_deadline(gateway: Gateway, worker: PlayedWorker) -> None:
    reply_id = await failed(gateway, worker, deadline_seconds=5)
    await post(gateway, reply_id, "retry", deadline_seconds=3600)
    (claim,) = await worker.claim()
    assert 3_500_000 < claim.deadline_at - now_ms() <= 3_600_000


async def test_a_retry_that_waits_shows_the_answer(gateway: Gateway, worker: PlayedWorker) -> None:
    reply_id = await failed(gateway, worker)
    asking = asyncio.create_task(gateway.client.post(f"/replies/{reply_id}/retry/", headers={"Prefer": "wait=30"}))
    (claim,) = await until(worker.claim)
    await worker.complete(claim, "At last")
    answer = await asyncio.wait_for(asking, LONG_SECONDS)
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=30")
    assert "Location" not in answer.headers
    assert answer.json()["content"] == "At last"


async def test_only_what_failed_or_was_cancelled_is_tried_again(gateway: Gateway, worker: PlayedWorker) -> None:
    _, (reply_id,) = await asked(gateway)
    for step in (worker.claim, None):
        answer = await post(gateway, reply_id, "retry")
        assert (answer.status_code, answer.json()["code"]) == (409, "not_retryable")
        if step is not None:
            (claim,) = await step()
            await worker.complete(claim)
    assert (await gateway.get(f"/replies/{reply_id}/"))["status"] == "completed"


@pytest.mark.parametrize("body", [{"content": "Hello"}, {"model": "another"}, {"deadline_seconds": True}])
async def test_a_bad_retry_changes_nothing(gateway: Gateway, worker: PlayedWorker, body: dict[str, Any]) -> None:
    reply_id = await failed(gateway, worker)
    assert (await post(gateway, reply_id, "retry", **body)).status_code == 422
    assert (await gateway.get(f"/replies/{reply_id}/"))["status"] == "failed"


async def test_the_selected_candidate_is_the_one_that_goes_on(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id, (_, second) = await asked(gateway, n=2)
    one, two = await worker.claim()
    await worker.complete(one, "One")
    await worker.complete(two, "Two")
    assert await selected(gateway, conversation_id) == [1]
    version = (await gateway.get(f"/conversations/{conversation_id}/"))["version"]
    for _ in range(2):
        answer = await post(gateway, second, "select")
        assert (answer.status_code, answer.json()["selected"]) == (200, True)
        assert answer.json() == await gateway.get(f"/replies/{second}/")
    assert await selected(gateway, conversation_id) == [2]
    changed = await gateway.get(f"/conversations/{conversation_id}/?wait=30&since={version}")
    assert changed["version"] > version


async def test_what_has_no_text_cannot_be_selected(gateway: Gateway, worker: PlayedWorker) -> None:
    without_text = [await failed(gateway, worker)]
    _, (queued, cancelled) = await asked(gateway, n=2)
    await post(gateway, cancelled, "cancel")
    for reply_id in (*without_text, queued, cancelled):
        answer = await post(gateway, reply_id, "select")
        assert (answer.status_code, answer.json()["code"]) == (409, "not_selectable")


async def test_a_choice_during_a_regeneration_holds(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id, (reply_id,) = await asked(gateway)
    await worker.answer_all("One")
    await post(gateway, reply_id, "regenerate")
    (claim,) = await worker.claim()
    await post(gateway, reply_id, "select")
    await worker.complete(claim, "Two")
    assert await selected(gateway, conversation_id) == [1]


@pytest.mark.parametrize("what", ["regenerate", "select", "retry"])
async def test_only_the_last_turn_can_change(gateway: Gateway, worker: PlayedWorker, what: str) -> None:
    conversation_id, (one, two) = await asked(gateway, n=2)
    first, second = await worker.claim()
    await worker.complete(first)
    await worker.fail(second)
    await gateway.ask(conversation_id)
    answer = await post(gateway, two if what == "retry" else one, what)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_last_turn")


async def test_an_ask_and_changes_of_the_last_turn_at_once_leave_one_order(
    gateway: Gateway, worker: PlayedWorker
) -> None:
    """Whatever comes before the ask counts for it, and whatever comes after is told so."""
    async with running_gateway() as other:
        for _ in range(8):
            conversation_id, (one, two, three) = await asked(gateway, n=3)
            first, second, third = await worker.claim()
            await worker.complete(first, "One")
            await worker.complete(second, "Two")
            await worker.fail(third)
            ask = gateway.client.post(f"/conversations/{conversation_id}/ask-message/", json={"content": "And?"})
            answers = await asyncio.gather(
                post(other, two, "select"),
                ask,
                post(other, three, "retry"),
                post(gateway, one, "regenerate"),
                post(other, one, "select"),
            )
            assert answers[1].status_code == 202
            for answer in (answers[0], *answers[2:]):
                assert answer.status_code in {200, 202} or answer.json()["code"] == "not_last_turn", answer.text
            assert len(await selected(gateway, conversation_id)) == 1
            while claims := await worker.claim():
                assert len({claim.turn for claim in claims}) == 1
                for claim in claims:
                    await worker.complete(claim)
            assert (await gateway.get(f"/conversations/{conversation_id}/"))["live_replies"] == []


async def test_each_try_is_on_record(gateway: Gateway, worker: PlayedWorker) -> None:
    _, (reply_id,) = await asked(gateway)
    path = f"/replies/{reply_id}/attempts/"
    assert await gateway.get(path) == {"data": []}
    (claim,) = await worker.claim()
    (running,) = (await gateway.get(path))["data"]
    assert (running["attempt"], running["ended_at"], running["outcome"]) == (1, None, None)
    await worker.put_back(claim, next_at=now_ms())
    (claim,) = await worker.claim()
    await worker.fail(claim)
    await post(gateway, reply_id, "retry")
    await worker.answer_all()
    attempts = (await gateway.get(path))["data"]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2, 3]
    assert [attempt["outcome"] for attempt in attempts] == ["retried", "failed", "completed"]
    assert [attempt["error"] for attempt in attempts] == [
        None,
        {"code": "rate_limited", "message": "Too many requests."},
        None,
    ]
    assert attempts[2]["usage"] == {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8, "estimated": False}
    assert all(attempt["started_at"] <= attempt["ended_at"] for attempt in attempts)
    assert all(attempt["worker"].startswith("worker_") for attempt in attempts)


@pytest.mark.parametrize("reply_id", ["reply_01m8376nm1zqqnsr0dt18yp372", "reply_x"])
async def test_the_tries_of_an_unknown_reply_are_not_found(gateway: Gateway, reply_id: str) -> None:
    assert (await gateway.client.get(f"/replies/{reply_id}/attempts/")).status_code == 404
