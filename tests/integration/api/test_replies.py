"""Replies over HTTP."""

from __future__ import annotations

import pytest

from tests.integration.api.gateway import Gateway, PlayedWorker

pytestmark = pytest.mark.anyio


async def test_a_failed_reply_says_why(gateway: Gateway, worker: PlayedWorker) -> None:
    turn = await gateway.ask(await gateway.new_conversation())
    (claim,) = await worker.claim()
    await worker.fail(claim)
    reply = await gateway.get(turn["replies"][0]["url"])
    assert reply["status"] == "failed"
    assert reply["error"] == {"code": "rate_limited", "message": "Too many requests.", "retryable": True}
    assert reply["usage"] is None
    assert (await gateway.get(f"/errors/{reply['error']['code']}"))["code"] == "rate_limited"


@pytest.mark.parametrize("reply_id", ["reply_01m8376nm1zqqnsr0dt18yp372", "reply_x", "conv_01m8376nm1zqqnsr0dt18yp372"])
async def test_an_unknown_or_malformed_reply_is_not_found(gateway: Gateway, reply_id: str) -> None:
    answer = await gateway.client.get(f"/replies/{reply_id}/?wait=5")
    assert answer.status_code == 404


async def test_the_list_shows_the_newest_first_page_by_page(gateway: Gateway) -> None:
    asked = []
    for _ in range(5):
        turn = await gateway.ask(await gateway.new_conversation())
        asked.append(turn["replies"][0]["id"])
    url: str | None = "/replies/?limit=2"
    listed = []
    while url:
        answer = await gateway.client.get(url)
        listed += [reply["id"] for reply in answer.json()["data"]]
        url = answer.links.get("next", {}).get("url")
    assert listed == sorted(asked, reverse=True)


async def test_the_list_can_be_narrowed(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id, n=2)
    first, second = await worker.claim()
    await worker.complete(first)
    await gateway.ask(await gateway.new_conversation())

    async def found(query: str) -> list[str]:
        page = await gateway.get(f"/replies/?{query}")
        return sorted(reply["status"] for reply in page["data"])

    assert await found("") == ["completed", "in_progress", "queued"]
    assert await found(f"conversation_id={conversation_id}") == ["completed", "in_progress"]
    assert await found("status=completed,queued") == ["completed", "queued"]
    assert await found(f"status=queued&conversation_id={conversation_id}") == []
    assert await found("conversation_id=conv_01m8376nm1zqqnsr0dt18yp372") == []
    await worker.complete(second)


@pytest.mark.parametrize("query", ["status=done", "status=", "conversation_id=x", "conversation_id=%00", "after=x"])
async def test_a_filter_that_makes_no_sense_is_refused(gateway: Gateway, query: str) -> None:
    answer = await gateway.client.get(f"/replies/?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"?{query.partition('=')[0]}"
