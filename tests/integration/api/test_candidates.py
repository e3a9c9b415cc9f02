"""Regenerating, trying again, choosing, and looking at the tries of a reply."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from shared.clock import now_ms
from shared.store.candidates import MAX_CANDIDATES
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.integration.api.gateway import LONG_SECONDS, Gateway, PlayedWorker, running_gateway, still_waits
from tests.integration.api.redis_side import until_rung

pytestmark = pytest.mark.anyio


async def post(gateway: Gateway, reply_id: str, what: str, **body: Any) -> httpx2.Response:
    return await gateway.client.post(f"/replies/{reply_id}/{what}/", json=body or None)


async def asked(gateway: Gateway, **body: Any) -> tuple[str, list[str]]:
    """A new conversation, and the replies of its first turn."""
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id, **body)
    return conversation_id, [reply["id"] for reply in turn["replies"]]


async def failed(gateway: Gateway, worker: PlayedWorker, **body: Any) -> str:
    """A reply that failed."""
    _, (reply_id,) = await asked(gateway, **body)
    (claim,) = await worker.claim()
    await worker.fail(claim)
    return reply_id


async def selected(gateway: Gateway, conversation_id: str, turn: int = 1) -> list[int]:
    """The candidates that the conversation goes on from."""
    found = await gateway.get(f"/conversations/{conversation_id}/turns/{turn}/")
    return [reply["candidate"] for reply in found["replies"] if reply["selected"]]


# --- regenerate ---


async def test_a_regeneration_is_one_more_candidate_of_the_turn(
    gateway: Gateway, worker: PlayedWorker, shared_valkey: Valkey
) -> None:
    conversation_id, (reply_id,) = await asked(gateway, model="some-model", metadata={"a": "b"})
    await worker.answer_all("One")
    answer = await post(gateway, reply_id, "regenerate")
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/conversations/{conversation_id}/turns/1/"
    assert answer.headers["Retry-After"] == "1"
    turn = answer.json()
    assert turn == await gateway.get(answer.headers["Location"])
    first, second = turn["replies"]
    assert (first["id"], first["content"], first["selected"]) == (reply_id, "One", True)
    assert (second["candidate"], second["status"], second["selected"]) == (2, "queued", False)
    assert (second["model"], second["metadata"]) == ("some-model", {"a": "b"})
    await until_rung(shared_valkey, second["id"])
    await worker.answer_all("Two")
    assert await selected(gateway, conversation_id) == [2]


async def test_a_regeneration_may_be_different(gateway: Gateway, worker: PlayedWorker) -> None:
    _, (reply_id,) = await asked(gateway, parameters={"seed": 7, "top_p": 0.5})
    await worker.answer_all()
    answer = await post(
        gateway,
        reply_id,
        "regenerate",
        model="another",
        parameters={"top_p": 1, "temperature": None},
        metadata={"c": "d"},
        on_crash="fail",
        deadline_seconds=9.5,
    )
    new = answer.json()["replies"][1]
    assert (new["model"], new["metadata"]) == ("another", {"c": "d"})
    (claim,) = await worker.claim()
    assert (claim.model, dict(claim.parameters)) == ("another", {"seed": 7, "top_p": 1})
    assert 0 < claim.deadline_at - now_ms() <= 9500


async def test_a_regeneration_that_waits_shows_the_answer(gateway: Gateway, worker: PlayedWorker) -> None:
    _, (reply_id,) = await asked(gateway)
    await worker.answer_all("One")
    asking = asyncio.create_task(gateway.client.post(f"/replies/{reply_id}/regenerate/?wait=30"))
    (claim,) = await until(worker.claim)
    assert await still_waits(asking)
    await worker.complete(claim, "Two")
    answer = await asyncio.wait_for(asking, LONG_SECONDS)
    assert (answer.status_code, "Location" in answer.headers) == (200, False)
    assert [reply["content"] for reply in answer.json()["replies"]] == ["One", "Two"]


async def test_a_ninth_candidate_is_refused(gateway: Gateway) -> None:
    conversation_id, (reply_id, *_) = await asked(gateway, n=MAX_CANDIDATES - 1)
    assert (await post(gateway, reply_id, "regenerate")).status_code == 202
    before = await gateway.get(f"/conversations/{conversation_id}/")
    answer = await post(gateway, reply_id, "regenerate")
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_candidates")
    assert await gateway.get(f"/conversations/{conversation_id}/") == before


async def test_many_regenerations_at_once_stop_at_eight(gateway: Gateway) -> None:
    conversation_id, (reply_id,) = await asked(gateway)
    async with running_gateway() as other:
        answers = await asyncio.gather(
            *(post(gateway_, reply_id, "regenerate") for gateway_ in (gateway, other) for _ in range(8))
        )
    assert sorted(answer.status_code for answer in answers) == [202] * 7 + [422] * 9
    turn = await gateway.get(f"/conversations/{conversation_id}/turns/1/")
    assert [reply["candidate"] for reply in turn["replies"]] == list(range(1, MAX_CANDIDATES + 1))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"n": 2}, "#/n"),
        ({"content": "Hello"}, "#/content"),
        ({"on_crash": "explode"}, "#/on_crash"),
        ({"on_busy": "reject"}, "#/on_busy"),
        ({"deadline_seconds": 0}, "#/deadline_seconds"),
        ({"parameters": {"temperature": 3}}, "#/parameters/temperature"),
        ({"model": ""}, "#/model"),
    ],
)
async def test_a_bad_regeneration_makes_nothing(gateway: Gateway, body: dict[str, Any], pointer: str) -> None:
    conversation_id, (reply_id,) = await asked(gateway)
    answer = await post(gateway, reply_id, "regenerate", **body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert len((await gateway.get(f"/conversations/{conversation_id}/turns/1/"))["replies"]) == 1


# --- retry ---


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


# --- select ---


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


# --- attempts ---


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
