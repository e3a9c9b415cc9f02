"""No queue grows without end: so many replies at once for a tenant, so many in all."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from api.entry import admission
from tests.fixtures.waiting import until
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway

pytestmark = pytest.mark.anyio

HELLO = {"content": "Hello"}


@pytest.fixture(autouse=True)
def _counts_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "COUNT_SECONDS", 0.05)


async def ask(gateway: Gateway, conversation_id: str, **body: int) -> httpx2.Response:
    return await gateway.client.post(f"/conversations/{conversation_id}/ask-message/", json={**HELLO, **body})


async def test_a_tenant_has_so_many_at_once_and_more_when_some_have_ended(
    environment: pytest.MonkeyPatch, worker: PlayedWorker
) -> None:
    environment.setenv("ASYNCCHAT_MAX_LIVE_OF_TENANT", "3")
    async with running_gateway() as gateway:
        conversation_id = await gateway.new_conversation()
        assert (await ask(gateway, conversation_id, n=2)).status_code == 202
        refused = await ask(gateway, conversation_id, n=2)
        assert (refused.status_code, refused.json()["code"], refused.headers["Retry-After"]) == (429, "queue_full", "1")
        assert (await ask(gateway, conversation_id)).status_code == 202
        for method, path, body in (
            ("POST", "/conversations/", {"message": HELLO}),
            ("POST", "/v1/responses", {"input": "Hello", "background": True}),
            ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
        ):
            answer = await gateway.client.request(method, path, json=body)
            assert answer.status_code == 429, path
            if path.startswith("/v1"):
                assert answer.headers["x-should-retry"] == "true"
        assert len((await gateway.get("/replies/"))["data"]) == 3, "nothing was stored"
        assert (await gateway.client.post("/conversations/")).status_code == 201, "what asks for nothing has room"
        await worker.answer_all("Hello, Ada")

        async def has_room() -> bool:
            return (await ask(gateway, conversation_id)).status_code == 202

        await until(has_room)


async def test_all_tenants_together_have_so_many(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASYNCCHAT_MAX_LIVE", "2")
    async with running_gateway() as gateway:
        conversation_id = await gateway.new_conversation()
        answers = await asyncio.gather(*(ask(gateway, conversation_id) for _ in range(6)))
        assert sorted(answer.status_code for answer in answers) == [202, 202, 429, 429, 429, 429]


async def test_another_gateways_are_counted_within_a_moment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASYNCCHAT_MAX_LIVE_OF_TENANT", "1")
    async with running_gateway() as first, running_gateway() as second:
        assert (await ask(first, await first.new_conversation())).status_code == 202

        async def is_full() -> bool:
            return (await ask(second, await second.new_conversation())).status_code == 429

        await until(is_full)


async def test_repeats_and_what_is_refused_take_no_room(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASYNCCHAT_MAX_LIVE_OF_TENANT", "2")
    async with running_gateway() as gateway:
        for _ in range(4):
            assert (await ask(gateway, "conv_01m86nzqqk652jp7wdnyyebm22")).status_code == 404
        path = f"/conversations/{await gateway.new_conversation()}/ask-message/"
        for _ in range(4):
            answer = await gateway.client.post(path, json={**HELLO, "n": 2}, headers={"Idempotency-Key": "once"})
            assert answer.status_code == 202
        assert (await gateway.client.post(path, json=HELLO)).status_code == 429
