"""What an ask does about replies that have not ended yet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.clock import now_ms
from tests.fixtures.valkey import Valkey
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway
from tests.integration.api.redis_side import ear, until_rung

pytestmark = pytest.mark.anyio


def statuses(turn: dict[str, Any]) -> list[str]:
    return [reply["status"] for reply in turn["replies"]]


async def turn_of(gateway: Gateway, conversation_id: str, number: int) -> dict[str, Any]:
    return await gateway.get(f"/conversations/{conversation_id}/turns/{number}/")


async def messages_of(gateway: Gateway, conversation_id: str) -> list[str]:
    found = await gateway.get(f"/conversations/{conversation_id}/")
    return [message["content"] for message in found["messages"]]


# --- enqueue ---


@pytest.mark.parametrize("body", [{}, {"on_busy": "enqueue"}])
async def test_unless_told_otherwise_an_ask_waits_for_its_turn(
    gateway: Gateway, worker: PlayedWorker, body: dict[str, Any]
) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    (first,) = await worker.claim()
    turn = await gateway.ask(conversation_id, **body)
    assert turn["replies"][0]["queue"]["waiting_for"] == "turn"
    assert await worker.claim() == []
    await worker.complete(first)
    assert [claim.turn for claim in await worker.claim()] == [2]


# --- reject ---


async def test_a_busy_conversation_can_be_left_alone(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    path = f"/conversations/{conversation_id}/ask-message/"
    body = {"content": "And?", "on_busy": "reject"}
    await gateway.ask(conversation_id, n=2)
    one, two = await worker.claim()
    await worker.complete(one)
    before = await gateway.get(f"/conversations/{conversation_id}/")
    answer = await gateway.client.post(path, json=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "busy")
    assert await gateway.get(f"/conversations/{conversation_id}/") == before
    await worker.fail(two)
    # What was refused made nothing, so that its key is free.
    answer = await gateway.client.post(path, json=body, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["turn"]) == (202, 2)


async def test_a_reply_that_waits_for_its_next_try_keeps_a_conversation_busy(
    gateway: Gateway, worker: PlayedWorker
) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    (claim,) = await worker.claim()
    await worker.put_back(claim, next_at=now_ms() + 60_000)
    answer = await gateway.client.post(
        f"/conversations/{conversation_id}/ask-message/", json={"content": "And?", "on_busy": "reject"}
    )
    assert answer.status_code == 409


async def test_of_many_at_once_one_is_accepted(gateway: Gateway) -> None:
    conversation_id = await gateway.new_conversation()
    path, body = f"/conversations/{conversation_id}/ask-message/", {"content": "Hello", "on_busy": "reject"}
    async with running_gateway() as other:
        answers = await asyncio.gather(
            *(each.client.post(path, json=body) for each in (gateway, other) for _ in range(10))
        )
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 19
    assert await messages_of(gateway, conversation_id) == ["Hello"]


async def test_a_new_conversation_is_not_busy(gateway: Gateway) -> None:
    for on_busy in ("enqueue", "reject", "interrupt"):
        conversation_id = await gateway.new_conversation()
        await gateway.ask(conversation_id, on_busy=on_busy)
        created = await gateway.client.post("/conversations/", json={"message": {"content": "x", "on_busy": on_busy}})
        assert created.status_code == 201


# --- interrupt ---


async def test_a_running_answer_is_stopped_and_its_text_kept(
    gateway: Gateway, worker: PlayedWorker, shared_valkey: Valkey
) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id, "Hello")
    (claim,) = await worker.claim()
    async with ear(shared_valkey) as heard:
        turn = await gateway.ask(conversation_id, "Wait", on_busy="interrupt")
        assert await heard.next() == claim.reply_id
    assert turn["replies"][0]["queue"]["waiting_for"] == "turn"
    (running,) = (await turn_of(gateway, conversation_id, 1))["replies"]
    assert (running["status"], running["stop_requested"]) == ("in_progress", "interrupt")
    await worker.complete(claim, "Hello, A")
    (stopped,) = (await turn_of(gateway, conversation_id, 1))["replies"]
    assert (stopped["status"], stopped["incomplete_reason"]) == ("incomplete", "interrupted")
    assert (stopped["content"], stopped["selected"], stopped["error"]) == ("Hello, A", True, None)
    assert stopped["message_id"] is not None
    assert await messages_of(gateway, conversation_id) == ["Hello", "Hello, A", "Wait"]
    (following,) = await worker.claim()
    assert following.turn == 2
    await until_rung(shared_valkey, following.reply_id)


async def test_what_waits_is_cancelled_and_the_new_turn_is_next(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    for _ in range(3):
        await gateway.ask(conversation_id)
    (claim,) = await worker.claim()
    turn = await gateway.ask(conversation_id, on_busy="interrupt")
    assert turn["replies"][0]["queue"]["turns_ahead"] == 1
    assert [statuses(await turn_of(gateway, conversation_id, number)) for number in (1, 2, 3)] == [
        ["in_progress"],
        ["cancelled"],
        ["cancelled"],
    ]
    await worker.complete(claim)
    assert [claim.turn for claim in await worker.claim()] == [4]


async def test_where_nothing_was_begun_the_new_turn_is_due_at_once(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    for _ in range(2):
        await gateway.ask(conversation_id)
    turn = await gateway.ask(conversation_id, on_busy="interrupt")
    assert turn["replies"][0]["queue"] == {"turns_ahead": 0, "waiting_for": "worker", "next_attempt_at": None}
    assert [claim.turn for claim in await worker.claim()] == [3]


async def test_siblings_end_each_in_its_way(gateway: Gateway, worker: PlayedWorker) -> None:
    """One runs, one waits for its next try, one has ended."""
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id, "Hello", n=3)
    runs, waits, ended = await worker.claim()
    await worker.write(waits, "Hel")
    await worker.put_back(waits, next_at=now_ms() + 60_000)
    await worker.fail(ended)
    await gateway.ask(conversation_id, "Wait", on_busy="interrupt")
    assert statuses(await turn_of(gateway, conversation_id, 1)) == ["in_progress", "incomplete", "failed"]
    await worker.complete(runs, "Hello, A")
    turn = await turn_of(gateway, conversation_id, 1)
    assert [(reply["status"], reply["content"]) for reply in turn["replies"]] == [
        ("incomplete", "Hello, A"),
        ("incomplete", "Hel"),
        ("failed", ""),
    ]
    assert [reply["selected"] for reply in turn["replies"]] == [True, False, False]


async def test_an_interrupt_of_an_interrupt_cancels_what_it_brought(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id, "One")
    (claim,) = await worker.claim()
    await gateway.ask(conversation_id, "Two", on_busy="interrupt")
    await gateway.ask(conversation_id, "Three", on_busy="interrupt")
    assert statuses(await turn_of(gateway, conversation_id, 2)) == ["cancelled"]
    await worker.complete(claim, "1")
    assert statuses(await turn_of(gateway, conversation_id, 1)) == ["incomplete"]
    assert [claim.turn for claim in await worker.claim()] == [3]


async def test_a_quiet_conversation_is_just_asked(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    await worker.answer_all("Hello, Ada")
    await gateway.ask(conversation_id, on_busy="interrupt")
    (reply,) = (await turn_of(gateway, conversation_id, 1))["replies"]
    assert (reply["status"], reply["stop_requested"]) == ("completed", None)


async def test_a_repeated_interrupt_stops_nothing_more(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    path, body = f"/conversations/{conversation_id}/ask-message/", {"content": "Wait", "on_busy": "interrupt"}
    first = await gateway.client.post(path, json=body, headers={"Idempotency-Key": "k"})
    (claim,) = await worker.claim()
    again = await gateway.client.post(path, json=body, headers={"Idempotency-Key": "k"})
    assert first.json()["turn"] == again.json()["turn"] == 2
    assert (await gateway.get(f"/replies/{claim.reply_id}/"))["stop_requested"] is None


@pytest.mark.parametrize("body", [{"on_busy": "wait"}, {"on_busy": None}, {"on_crash": 1}, {"on_crash": "RESTART"}])
async def test_another_word_is_refused(gateway: Gateway, body: dict[str, Any]) -> None:
    conversation_id = await gateway.new_conversation()
    answer = await gateway.client.post(f"/conversations/{conversation_id}/ask-message/", json={"content": "x", **body})
    assert answer.status_code == 422
    (name,) = body
    assert answer.json()["errors"][0]["pointer"] == f"#/{name}"
