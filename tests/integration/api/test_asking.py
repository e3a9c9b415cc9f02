"""Asking, and waiting for what was asked."""

from __future__ import annotations

import asyncio
import base64
import time

import orjson
import pytest
from redis.asyncio import Redis

from shared.clock import now_ms
from shared.messaging.doorbell import QUEUE
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.integration.api.gateway import LONG_SECONDS, Gateway, PlayedWorker, running_gateway, still_waits

pytestmark = pytest.mark.anyio


async def test_an_ask_is_accepted_and_says_where_to_look(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation(parameters={'temperature': 1})}/"
    answer = await gateway.client.post(f"{path}ask-message/", json={"content": "Hello", "parameters": {"top_p": 0.5}})
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{path}turns/1/"
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    turn = answer.json()
    assert (turn["turn"], turn["message"]["content"]) == (1, "Hello")
    (reply,) = turn["replies"]
    assert (reply["status"], reply["content"], reply["attempt"]) == ("queued", "", 0)
    assert reply["queue"] == {"turns_ahead": 0, "waiting_for": "worker", "next_attempt_at": None}
    assert await gateway.get(answer.headers["Location"]) == turn
    assert await gateway.get(reply["url"]) == reply


async def test_the_doorbell_rings_for_each_reply(gateway: Gateway, shared_valkey: Valkey) -> None:
    turn = await gateway.ask(await gateway.new_conversation(), n=3)
    wanted = [reply["id"].encode() for reply in turn["replies"]]
    async with Redis.from_url(shared_valkey.client_url) as redis:

        async def rung() -> bool:
            tasks = [orjson.loads(task) for task in await redis.lrange(QUEUE, 0, -1)]
            bodies = b"".join(base64.b64decode(task["body"]) for task in tasks)
            return all(reply_id in bodies for reply_id in wanted)

        assert await until(rung)


async def test_a_second_ask_waits_for_the_first_turn(gateway: Gateway) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id, n=2)
    turn = await gateway.ask(conversation_id)
    assert turn["replies"][0]["queue"] == {"turns_ahead": 1, "waiting_for": "turn", "next_attempt_at": None}


async def test_a_reply_that_is_to_be_tried_again_says_when(gateway: Gateway, worker: PlayedWorker) -> None:
    turn = await gateway.ask(await gateway.new_conversation())
    (claim,) = await worker.claim()
    await worker.put_back(claim, next_at=now_ms() + 60_000)
    queue = (await gateway.get(turn["replies"][0]["url"]))["queue"]
    assert queue["waiting_for"] == "retry"
    assert queue["next_attempt_at"] > turn["replies"][0]["created_at"]


@pytest.mark.parametrize("by", ["wait", "Prefer"])
async def test_an_ask_that_waits_is_answered_when_all_replies_have_ended(
    gateway: Gateway, worker: PlayedWorker, by: str
) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/ask-message/"
    query, headers = ("?wait=30", {}) if by == "wait" else ("", {"Prefer": "respond-async, wait=30"})
    asking = asyncio.create_task(
        gateway.client.post(f"{path}{query}", json={"content": "Hello", "n": 2}, headers=headers)
    )
    first, second = await until(worker.claim)
    await worker.complete(first, "One")
    assert await still_waits(asking)
    await worker.fail(second)
    answer = await asyncio.wait_for(asking, LONG_SECONDS)
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert "Retry-After" not in answer.headers
    assert answer.headers.get("Preference-Applied") == (None if by == "wait" else "wait=30")
    done, failed = answer.json()["replies"]
    assert (done["status"], done["content"], done["selected"]) == ("completed", "One", True)
    assert done["usage"] == {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8, "estimated": False}
    assert failed["error"] == {"code": "rate_limited", "message": "Too many requests.", "retryable": True}


async def test_when_the_time_is_up_the_present_state_is_the_answer(gateway: Gateway, worker: PlayedWorker) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/ask-message/"
    began = time.monotonic()
    answer = await gateway.client.post(path, json={"content": "Hello"}, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert time.monotonic() - began >= 1
    (claim,) = await worker.claim()
    await worker.write(claim, "Hel")
    answer = await gateway.client.get(f"{answer.headers['Location']}?wait=0.1")
    assert answer.status_code == 200
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["replies"][0]["content"] == "Hel"


@pytest.mark.parametrize(
    "prefer", ["wait=-1", "wait=soon", "respond-async", "wait", "wait=1.5", "", "wait=99999999999"]
)
async def test_a_preference_that_cannot_be_used_is_ignored(gateway: Gateway, prefer: str) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/ask-message/"
    answer = await gateway.client.post(path, json={"content": "Hello"}, headers={"Prefer": prefer})
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


async def test_the_query_wins_over_the_preference(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/ask-message/"
    answer = await gateway.client.post(f"{path}?wait=0", json={"content": "Hello"}, headers={"Prefer": "wait=30"})
    assert answer.status_code == 202
    assert "Preference-Applied" not in answer.headers


async def test_a_wait_is_no_longer_than_the_server_allows(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASYNCCHAT_MAX_WAIT_SECONDS", "0.1")
    async with running_gateway() as gateway:
        turn = await gateway.ask(await gateway.new_conversation())
        assert (await gateway.get(f"{turn['replies'][0]['url']}?wait=1e9"))["status"] == "queued"


@pytest.mark.parametrize("wait", ["-1", "NaN", "Infinity", "soon", "", "1,5"])
@pytest.mark.parametrize("kind", ["reply", "turn", "conversation", "ask", "create"])
async def test_a_wait_that_is_no_number_of_seconds_is_refused(gateway: Gateway, kind: str, wait: str) -> None:
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id)
    method, path = {
        "reply": ("GET", turn["replies"][0]["url"]),
        "turn": ("GET", f"/conversations/{conversation_id}/turns/1/"),
        "conversation": ("GET", f"/conversations/{conversation_id}/"),
        "ask": ("POST", f"/conversations/{conversation_id}/ask-message/"),
        "create": ("POST", "/conversations/"),
    }[kind]
    body = {"content": "x"} if kind == "ask" else None
    answer = await gateway.client.request(method, f"{path}?wait={wait}", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "?wait"


async def test_a_creation_that_waits_shows_the_answer(gateway: Gateway, worker: PlayedWorker) -> None:
    asking = asyncio.create_task(
        gateway.client.post("/conversations/?wait=30", json={"message": {"content": "Hello, I am Ada"}})
    )
    (claim,) = await until(worker.claim)
    await worker.complete(claim, "Hello, Ada")
    answer = await asyncio.wait_for(asking, LONG_SECONDS)
    assert answer.status_code == 201
    created = answer.json()
    assert created["turn"]["replies"][0]["content"] == "Hello, Ada"
    assert [message["content"] for message in created["messages"]] == ["Hello, I am Ada", "Hello, Ada"]
    assert created["live_replies"] == []


async def test_the_turn_of_an_appended_message_has_no_replies(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/"
    await gateway.client.post(f"{path}messages/", json={"role": "user", "content": "Hello"})
    turn = await gateway.get(f"{path}turns/1/?wait=30")
    assert turn["replies"] == []


@pytest.mark.parametrize("turn", ["2", "0", "-1", "x", "99999999999999999999", "1.5"])
async def test_an_unknown_or_malformed_turn_is_not_found(gateway: Gateway, turn: str) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    assert (await gateway.client.get(f"/conversations/{conversation_id}/turns/{turn}/")).status_code == 404


async def test_settings_of_the_ask_come_before_those_of_the_conversation(
    gateway: Gateway, worker: PlayedWorker
) -> None:
    parameters = {"temperature": 1.5, "seed": 7}
    conversation_id = await gateway.new_conversation(model="its-own", parameters=parameters)
    await gateway.ask(conversation_id, parameters={"temperature": 0, "top_p": None}, deadline_seconds=9.5)
    (claim,) = await worker.claim()
    assert (claim.model, dict(claim.parameters)) == ("its-own", {"temperature": 0.0, "seed": 7})
    await worker.complete(claim)
    turn = await gateway.ask(conversation_id, model="named")
    assert turn["replies"][0]["model"] == "named"
