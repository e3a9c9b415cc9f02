"""`/replies/{id}/feedback/`."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from api.schemas.replies import Reply
from api.schemas.requests import MAX_COMMENT_CHARS
from tests.integration.api.gateway import LONG_SECONDS, Gateway, PlayedWorker, still_waits

pytestmark = pytest.mark.anyio


async def answered(gateway: Gateway, worker: PlayedWorker) -> dict[str, Any]:
    """A reply that has ended."""
    turn = await gateway.ask(await gateway.new_conversation())
    (claim,) = await worker.claim()
    await worker.complete(claim)
    return await gateway.get(turn["replies"][0]["url"])


async def give(gateway: Gateway, reply: dict[str, Any], **body: Any) -> httpx2.Response:
    return await gateway.client.put(f"{reply['url']}feedback/", json=body)


async def test_feedback_is_shown_on_the_reply_until_it_is_taken_back(gateway: Gateway, worker: PlayedWorker) -> None:
    reply = await answered(gateway, worker)
    assert reply["feedback"] is None
    for body in ({"rating": "up"}, {"rating": "down", "comment": " The sum is wrong. "}):
        answer = await give(gateway, reply, **body)
        assert answer.status_code == 200
        given = answer.json()["feedback"]
        assert (given["rating"], given["comment"]) == (body["rating"], (body.get("comment") or "").strip() or None)
        Reply.model_validate(answer.json())
        assert answer.json() == await gateway.get(reply["url"])
    assert (await give(gateway, reply, rating=None)).json()["feedback"] is None
    await give(gateway, reply, rating="up")
    for _ in range(2):
        assert (await gateway.client.delete(f"{reply['url']}feedback/")).status_code == 204
        assert (await gateway.get(reply["url"]))["feedback"] is None


async def test_feedback_is_a_change_of_the_conversation_that_waiters_see(
    gateway: Gateway, worker: PlayedWorker
) -> None:
    reply = await answered(gateway, worker)
    path = f"/conversations/{reply['conversation_id']}/"
    before = await gateway.get(path)
    waiting = asyncio.create_task(gateway.client.get(f"{path}?wait=30&since={before['version']}"))
    assert await still_waits(waiting)
    await give(gateway, reply, rating="up")
    after = (await asyncio.wait_for(waiting, LONG_SECONDS)).json()
    assert after["version"] == before["version"] + 1
    assert after["updated_at"] == before["updated_at"]
    await give(gateway, reply, rating="up")
    assert (await gateway.get(path))["version"] == after["version"]


async def test_only_a_reply_that_has_ended_takes_feedback(gateway: Gateway, worker: PlayedWorker) -> None:
    turn = await gateway.ask(await gateway.new_conversation())
    (reply,) = turn["replies"]
    version = (await gateway.get(f"/conversations/{reply['conversation_id']}/"))["version"]
    answer = await give(gateway, reply, rating="up")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_ended")
    assert (await gateway.get(f"/conversations/{reply['conversation_id']}/"))["version"] == version
    (claim,) = await worker.claim()
    await worker.fail(claim)
    assert (await give(gateway, reply, rating="down")).status_code == 200
    await gateway.client.post(f"{reply['url']}retry/")
    assert (await gateway.get(reply["url"]))["feedback"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/rating"),
        ({"rating": "sideways"}, "#/rating"),
        ({"rating": True}, "#/rating"),
        ({"rating": "up", "comment": "x" * (MAX_COMMENT_CHARS + 1)}, "#/comment"),
        ({"rating": None, "comment": "But why?"}, "#/comment"),
        ({"rating": "up", "tenant_id": "other"}, "#/tenant_id"),
    ],
)
async def test_what_is_no_feedback_is_refused(
    gateway: Gateway, worker: PlayedWorker, body: dict[str, Any], pointer: str
) -> None:
    reply = await answered(gateway, worker)
    answer = await give(gateway, reply, **body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert (await gateway.get(reply["url"]))["feedback"] is None


async def test_a_copy_of_a_conversation_begins_without_feedback(gateway: Gateway, worker: PlayedWorker) -> None:
    reply = await answered(gateway, worker)
    await give(gateway, reply, rating="up", comment="Yes.")
    copy = (await gateway.client.post(f"/conversations/{reply['conversation_id']}/fork/")).json()
    (copied,) = (await gateway.get(f"/replies/?conversation_id={copy['id']}"))["data"]
    assert copied["feedback"] is None
    assert (await gateway.get(reply["url"]))["feedback"]["rating"] == "up"
