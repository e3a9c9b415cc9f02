"""The same request twice makes one thing."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway

pytestmark = pytest.mark.anyio


async def _post(gateway: Gateway, path: str, body: Any, *, key: str = "k-1") -> httpx2.Response:
    return await gateway.client.post(path, json=body, headers={"Idempotency-Key": key})


async def test_fifty_equal_asks_at_once_make_one_turn_and_get_one_answer(gateway: Gateway) -> None:
    conversation_id = await gateway.new_conversation()
    path = f"/conversations/{conversation_id}/ask-message/"
    answers = await asyncio.gather(*(_post(gateway, path, {"content": "Hello", "n": 2}) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    page = await gateway.get(f"/replies/?conversation_id={conversation_id}")
    assert len(page["data"]) == 2


async def test_equal_asks_on_two_gateways_make_one_turn(environment: pytest.MonkeyPatch) -> None:
    del environment
    async with running_gateway() as one, running_gateway() as two:
        path = f"/conversations/{await one.new_conversation()}/ask-message/"
        answers = await asyncio.gather(
            *(_post(gateway, path, {"content": "Hello"}) for gateway in [one, two] for _ in range(20))
        )
        assert len({answer.content for answer in answers}) == 1


async def test_fifty_equal_creations_at_once_make_one_conversation(gateway: Gateway) -> None:
    body = {"title": "One", "message": {"content": "Hello"}}
    answers = await asyncio.gather(*(_post(gateway, "/conversations/", body) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len((await gateway.get("/conversations/"))["data"]) == 1


async def test_equal_appends_make_one_message(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/messages/"
    body = {"role": "user", "content": "Hello"}
    first, second = await _post(gateway, path, body), await _post(gateway, path, body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert len((await gateway.get(path))["data"]) == 1


async def test_a_repeat_gets_the_present_state(gateway: Gateway, worker: PlayedWorker) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/ask-message/"
    assert (await _post(gateway, path, {"content": "Hello"})).status_code == 202
    await worker.answer_all("Hello, Ada")
    again = await _post(gateway, path, {"content": "Hello"})
    assert again.status_code == 200
    assert again.json()["replies"][0]["content"] == "Hello, Ada"


async def test_a_repeated_creation_is_a_creation_in_its_present_state(gateway: Gateway, worker: PlayedWorker) -> None:
    body = {"message": {"content": "Hello"}}
    first = await _post(gateway, "/conversations/", body)
    await worker.answer_all("Hello, Ada")
    again = await _post(gateway, "/conversations/", body)
    assert again.status_code == 201
    assert again.headers["Location"] == first.headers["Location"]
    assert again.json()["turn"]["replies"][0]["status"] == "completed"


async def test_the_order_of_fields_the_slash_and_quotes_do_not_matter(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/ask-message"
    first = await _post(gateway, path, {"content": "Hello", "n": 1}, key="k-1")
    again = await _post(gateway, f"{path}/?wait=0", {"n": 1, "content": "Hello"}, key='"k-1"')
    assert first.json() == again.json()


@pytest.mark.parametrize("body", [None, {}])
async def test_an_empty_object_is_as_good_as_no_body(gateway: Gateway, body: Any) -> None:
    first = await gateway.client.post("/conversations/", headers={"Idempotency-Key": "k"})
    again = await gateway.client.post("/conversations/", json=body, headers={"Idempotency-Key": "k"})
    assert first.json()["id"] == again.json()["id"]


async def test_the_same_key_for_another_request_is_refused(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/ask-message/"
    other = f"/conversations/{await gateway.new_conversation()}/ask-message/"
    await _post(gateway, path, {"content": "Hello"})
    for changed, body in ((path, {"content": "Hallo"}), (other, {"content": "Hello"}), ("/conversations/", {})):
        answer = await _post(gateway, changed, body)
        assert answer.status_code == 422
        assert answer.json()["code"] == "idempotency_mismatch"


async def test_a_refused_request_leaves_its_key_free(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/ask-message/"
    assert (await _post(gateway, path, {"content": ""})).status_code == 422
    assert (
        await _post(gateway, "/conversations/conv_01m8376nm1zqqnsr0dt18yp372/ask-message/", {"content": "x"})
    ).status_code == 404
    assert (await _post(gateway, path, {"content": "Hello"})).status_code == 202


async def test_a_repeat_after_the_deletion_is_not_found(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/"
    await _post(gateway, f"{path}ask-message/", {"content": "Hello"})
    await gateway.client.delete(path)
    assert (await _post(gateway, f"{path}ask-message/", {"content": "Hello"})).status_code == 404


@pytest.mark.parametrize("key", ["", '""', " ", "a b", "x" * 256, "é", "a\tb", "\x7f"])
async def test_an_unusable_key_is_refused(gateway: Gateway, key: str) -> None:
    conversation_id = await gateway.new_conversation()
    for path, body in (
        ("/conversations/", {}),
        (f"/conversations/{conversation_id}/ask-message/", {"content": "x"}),
        (f"/conversations/{conversation_id}/messages/", {"content": "x", "role": "user"}),
    ):
        answer = await gateway.client.post(path, json=body, headers={b"Idempotency-Key": key.encode()})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "Idempotency-Key"


async def test_a_key_of_255_visible_characters_is_used(gateway: Gateway) -> None:
    first = await _post(gateway, "/conversations/", {}, key='"' + "~" * 255 + '"')
    again = await _post(gateway, "/conversations/", {}, key="~" * 255)
    assert first.json()["id"] == again.json()["id"]
