"""The main job, from the outside: many asks at once, several candidates, and the loss of every process mid-answer."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from shared.reply_status import IncompleteReason, ReplyError
from tests.fixtures.up import StartUp, Up, live_processes
from tests.fixtures.waiting import until, wait_for

pytestmark = pytest.mark.anyio

CONVERSATIONS, TURNS = 50, 4


@pytest.fixture
async def up(database_url: str, start_up: StartUp) -> Up:
    """With little patience for a model that says nothing, so that a test sees it end."""
    patience = {"ASYNCCHAT_FIRST_BYTE_SECONDS": "2", "ASYNCCHAT_CHUNK_SECONDS": "2"}
    up = start_up(environment={"DATABASE_URL": database_url, **patience})
    await asyncio.to_thread(up.wait_until_ready)
    return up


@pytest.fixture
async def http(up: Up) -> AsyncIterator[httpx2.AsyncClient]:
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=up.url, timeout=60, limits=limits) as http:
        yield http


async def _new_conversation(http: httpx2.AsyncClient, model: str) -> str:
    answer = await http.post("/conversations/", json={"model": model})
    assert answer.status_code == 201
    return str(answer.json()["id"])


async def _ask(http: httpx2.AsyncClient, conversation_id: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post(f"/conversations/{conversation_id}/ask-message/", json=body)
    assert answer.status_code == 202, answer.text
    turn: dict[str, Any] = answer.json()
    return turn


async def _wait(http: httpx2.AsyncClient, path: str, *, is_over: str = "live_replies") -> dict[str, Any]:
    """The conversation once nothing is live there; a test's time-out is the bound."""
    while True:
        answer = await http.get(f"{path}?wait=20&messages=100")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if not found[is_over]:
            return found


async def test_two_hundred_asks_end_completed_and_in_order_within_each_conversation(http: httpx2.AsyncClient) -> None:
    conversation_ids = [await _new_conversation(http, "demo-500ms") for _ in range(CONVERSATIONS)]
    # The numbers that came back, since asks sent at once may be accepted in any order.
    turns = await asyncio.gather(
        *(
            _ask(http, conversation_id, {"content": f"This is number {number}"})
            for conversation_id in conversation_ids
            for number in range(TURNS)
        )
    )
    asked = {(turn["conversation_id"], turn["turn"]): turn["message"]["content"] for turn in turns}
    assert len(asked) == CONVERSATIONS * TURNS

    found = await asyncio.gather(*(_wait(http, f"/conversations/{each}/") for each in conversation_ids))
    for conversation in found:
        told = [(message["turn"], message["role"]) for message in conversation["messages"]]
        assert told == [(turn, role) for turn in range(1, TURNS + 1) for role in ("user", "assistant")]
        for message in conversation["messages"][::2]:
            assert message["content"] == asked[conversation["id"], message["turn"]]
    replies = await asyncio.gather(
        *(http.get(f"/conversations/{each}/turns/{turn}/") for each in conversation_ids for turn in range(1, TURNS + 1))
    )
    ended = [reply for answer in replies for reply in answer.json()["replies"]]
    assert {reply["status"] for reply in ended} == {"completed"}
    assert {reply["attempt"] for reply in ended} == {1}
    by_conversation: dict[str, list[dict[str, Any]]] = {}
    for reply in ended:
        by_conversation.setdefault(reply["conversation_id"], []).append(reply)
    for turns_of_one in by_conversation.values():
        for earlier, later in itertools.pairwise(turns_of_one):
            assert earlier["finished_at"] <= later["started_at"], "a turn waits for the one before it"


async def test_three_candidates_are_three_replies_of_which_the_first_completed_continues(
    http: httpx2.AsyncClient,
) -> None:
    conversation_id = await _new_conversation(http, "demo-fast")
    turn = await _ask(http, conversation_id, {"content": "Hello, I am Ada", "n": 3})
    assert [reply["candidate"] for reply in turn["replies"]] == [1, 2, 3]
    await _wait(http, f"/conversations/{conversation_id}/")
    replies = (await http.get(f"/conversations/{conversation_id}/turns/1/")).json()["replies"]
    assert [reply["status"] for reply in replies] == ["completed"] * 3
    assert sum(reply["selected"] for reply in replies) == 1
    assert all("Ada" in reply["content"] for reply in replies)


# What the demo model is asked to do wrong, and what the reply then says.
FAILURES = {
    "demo-fail-401": ReplyError.INVALID_API_KEY,
    "demo-fail-404": ReplyError.MODEL_NOT_FOUND,
    "demo-silent": ReplyError.UPSTREAM_TIMEOUT,
    "demo-stall": ReplyError.UPSTREAM_TIMEOUT,
    "demo-fail-429": ReplyError.RATE_LIMITED,
    "demo-fail-quota": ReplyError.RATE_LIMITED,
    "demo-fail-context": ReplyError.CONTEXT_LENGTH_EXCEEDED,
    "demo-fail-filter": ReplyError.CONTENT_FILTERED,
    "demo-cut": ReplyError.UPSTREAM_CUT_OFF,
    "demo-reset": ReplyError.UPSTREAM_CUT_OFF,
    "demo-malformed": ReplyError.UPSTREAM_MALFORMED,
    "demo-html": ReplyError.UPSTREAM_MALFORMED,
    "demo-empty": ReplyError.UPSTREAM_EMPTY,
    "demo-fail-500": ReplyError.UPSTREAM_ERROR,
    "demo-error-event": ReplyError.UPSTREAM_ERROR,
}


async def test_whatever_the_model_does_wrong_ends_in_its_code_and_a_sentence(http: httpx2.AsyncClient) -> None:
    """All at once, since some of them take several tries."""

    async def fails_with(model: str, code: ReplyError) -> None:
        conversation_id = await _new_conversation(http, model)
        await _ask(http, conversation_id, {"content": "Hello"})
        await _wait(http, f"/conversations/{conversation_id}/")
        (reply,) = (await http.get(f"/conversations/{conversation_id}/turns/1/")).json()["replies"]
        assert (model, reply["status"], reply["error"]["code"]) == (model, "failed", code)
        assert reply["error"]["message"].endswith((".", "!"))
        page = await http.get(f"/errors/{code}")
        assert page.status_code == 200
        assert code in page.text

    await asyncio.gather(*(fails_with(model, code) for model, code in FAILURES.items()))


@pytest.mark.parametrize(
    ("model", "reason"),
    [("demo-length", IncompleteReason.MAX_OUTPUT_TOKENS), ("demo-filtered", IncompleteReason.CONTENT_FILTER)],
)
async def test_an_answer_that_ends_early_keeps_its_text(
    http: httpx2.AsyncClient, model: str, reason: IncompleteReason
) -> None:
    conversation_id = await _new_conversation(http, model)
    await _ask(http, conversation_id, {"content": "Hello, I am Ada"})
    await _wait(http, f"/conversations/{conversation_id}/")
    (reply,) = (await http.get(f"/conversations/{conversation_id}/turns/1/")).json()["replies"]
    assert (reply["status"], reply["incomplete_reason"]) == ("incomplete", reason)
    assert reply["content"].startswith("Hello Ada")


async def test_the_loss_of_every_process_in_the_middle_of_answers_loses_nothing(
    database_url: str, start_up: StartUp
) -> None:
    up = start_up(environment={"DATABASE_URL": database_url})
    await asyncio.to_thread(up.wait_until_ready)
    async with httpx2.AsyncClient(base_url=up.url, timeout=60) as http:
        conversation_ids = [await _new_conversation(http, "demo-3000ms") for _ in range(10)]
        asks = [
            _ask(http, conversation_id, {"content": f"This is number {number}"})
            for conversation_id in conversation_ids
            for number in range(2)
        ]
        await asyncio.gather(*asks)

        async def are_being_answered() -> bool:
            page = (await http.get("/replies/?status=in_progress&limit=100")).json()["data"]
            # Mostly all of them; where asking took long, some are through by now.
            return len(page) > len(conversation_ids) // 2

        await until(are_being_answered)
    processes = [up.process.pid, *up.children().values()]
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    up.process.wait()
    assert wait_for(lambda: not set(processes) & set(live_processes()))

    again = start_up(environment={"DATABASE_URL": database_url})
    await asyncio.to_thread(again.wait_until_ready)
    async with httpx2.AsyncClient(base_url=again.url, timeout=60) as http:
        for conversation_id in conversation_ids:
            found = await _wait(http, f"/conversations/{conversation_id}/")
            told = [(message["turn"], message["role"]) for message in found["messages"]]
            assert told == [(1, "user"), (1, "assistant"), (2, "user"), (2, "assistant")]
