"""The same request twice makes one thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2
import pytest

from api.services import keyed_write
from shared.clock import now_ms
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


# What a request needs to be there, and the path and body of each POST that makes something.
Prepare = Callable[[Gateway, PlayedWorker], Coroutine[Any, Any, tuple[str, dict[str, Any]]]]


async def _create(_gateway: Gateway, _worker: PlayedWorker) -> tuple[str, dict[str, Any]]:
    return "/conversations/", {"title": "One", "message": {"content": "Hello", "n": 2}}


async def _ask(gateway: Gateway, _worker: PlayedWorker) -> tuple[str, dict[str, Any]]:
    return f"/conversations/{await gateway.new_conversation()}/ask-message/", {"content": "Hello", "n": 2}


async def _reject(gateway: Gateway, worker: PlayedWorker) -> tuple[str, dict[str, Any]]:
    path, body = await _ask(gateway, worker)
    return path, {**body, "on_busy": "reject"}


async def _interrupt(gateway: Gateway, worker: PlayedWorker) -> tuple[str, dict[str, Any]]:
    path, body = await _ask(gateway, worker)
    await gateway.client.post(path, json=body)
    await worker.claim()
    return path, {**body, "on_busy": "interrupt"}


async def _append(gateway: Gateway, _worker: PlayedWorker) -> tuple[str, dict[str, Any]]:
    return f"/conversations/{await gateway.new_conversation()}/messages/", {"role": "user", "content": "Hello"}


async def _last_regenerate(gateway: Gateway, _worker: PlayedWorker) -> tuple[str, dict[str, Any]]:
    turn = await gateway.ask(await gateway.new_conversation(), n=7)
    return f"/replies/{turn['replies'][0]['id']}/regenerate/", {}


async def _regenerate(gateway: Gateway, worker: PlayedWorker) -> tuple[str, dict[str, Any]]:
    turn = await gateway.ask(await gateway.new_conversation())
    await worker.answer_all()
    return f"/replies/{turn['replies'][0]['id']}/regenerate/", {"model": "another"}


async def _retry(gateway: Gateway, worker: PlayedWorker) -> tuple[str, dict[str, Any]]:
    turn = await gateway.ask(await gateway.new_conversation())
    for claim in await worker.claim():
        await worker.fail(claim)
    return f"/replies/{turn['replies'][0]['id']}/retry/", {"deadline_seconds": 60}


async def _fork(gateway: Gateway, worker: PlayedWorker) -> tuple[str, dict[str, Any]]:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    await worker.answer_all()
    return f"/conversations/{conversation_id}/fork/", {"up_to_turn": 1}


EVERY = [_create, _ask, _reject, _interrupt, _append, _regenerate, _last_regenerate, _retry, _fork]


@pytest.mark.parametrize("prepare", EVERY)
async def test_fifty_equal_requests_on_two_gateways_make_one_thing_and_get_one_answer(
    environment: pytest.MonkeyPatch, worker: PlayedWorker, prepare: Prepare
) -> None:
    del environment
    async with running_gateway() as one, running_gateway() as two:
        path, body = await prepare(one, worker)
        before = await _counts(one)
        answers = await asyncio.gather(*(_post(gateway, path, body) for gateway in (one, two) for _ in range(25)))
        assert {answer.status_code for answer in answers} <= {201, 202}
        assert len({answer.content for answer in answers}) == 1
        made = [after - count for after, count in zip(await _counts(one), before, strict=True)]
    assert (
        made
        == {
            _create: [1, 2],
            _ask: [0, 2],
            _reject: [0, 2],
            _interrupt: [0, 2],
            _append: [0, 0],
            _regenerate: [0, 1],
            _last_regenerate: [0, 1],
            _retry: [0, 0],
            _fork: [1, 1],
        }[prepare]
    )


async def _counts(gateway: Gateway) -> list[int]:
    """How many conversations and replies there are."""
    return [len((await gateway.get(f"/{name}/?limit=100"))["data"]) for name in ("conversations", "replies")]


@pytest.mark.parametrize("prepare", EVERY)
async def test_the_key_of_each_is_no_key_for_another_request(
    gateway: Gateway, worker: PlayedWorker, prepare: Prepare
) -> None:
    path, body = await prepare(gateway, worker)
    assert (await _post(gateway, path, body)).status_code in {201, 202}
    counts = await _counts(gateway)
    changes = ({"metadata": {"a": "b"}}, {"content": "Hallo"}, {"deadline_seconds": 61}, {"up_to_turn": 0})
    refused = [await _post(gateway, path, {**body, **change}) for change in changes]
    # A body that is not valid for this path says so itself.
    assert {answer.status_code for answer in refused} == {422}
    assert "idempotency_mismatch" in {answer.json()["code"] for answer in refused}
    assert await _counts(gateway) == counts


async def test_a_repeated_retry_finds_the_reply_as_it_is(gateway: Gateway, worker: PlayedWorker) -> None:
    """Also when it has long ended, where another retry would be a new one."""
    path, body = await _retry(gateway, worker)
    assert (await _post(gateway, path, body)).json()["status"] == "queued"
    for claim in await worker.claim():
        await worker.fail(claim)
    again = await _post(gateway, path, body)
    assert (again.status_code, again.json()["status"]) == (200, "failed")
    assert (await _post(gateway, path, body, key="k-2")).json()["status"] == "queued"


async def test_a_repeated_regeneration_is_found_after_the_conversation_went_on(
    gateway: Gateway, worker: PlayedWorker
) -> None:
    path, body = await _regenerate(gateway, worker)
    turn = (await _post(gateway, path, body)).json()
    await worker.answer_all("Another")
    await gateway.ask(turn["conversation_id"])
    again = await _post(gateway, path, body)
    assert again.status_code == 200
    assert [reply["content"] for reply in again.json()["replies"]] == ["Hello, Ada", "Another"]
    assert (await _post(gateway, path, body, key="k-2")).json()["code"] == "not_last_turn"


async def test_a_repeated_fork_is_the_copy_as_it_is(gateway: Gateway, worker: PlayedWorker) -> None:
    path, body = await _fork(gateway, worker)
    copy = (await _post(gateway, path, body)).json()
    await gateway.client.patch(f"/conversations/{copy['id']}/", json={"title": "Mine"})
    again = await _post(gateway, path, body)
    assert (again.status_code, again.json()["title"]) == (201, "Mine")
    assert again.headers["Location"] == f"/conversations/{copy['id']}/"
    await gateway.client.delete(f"/conversations/{copy['id']}/")
    assert (await _post(gateway, path, body)).status_code == 404


async def test_a_key_is_forgotten_after_its_time(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASYNCCHAT_IDEMPOTENCY_SECONDS", "60")
    async with running_gateway() as gateway:
        path = f"/conversations/{await gateway.new_conversation()}/ask-message/"

        async def turn() -> int:
            return int((await _post(gateway, path, {"content": "Hello"})).json()["turn"])

        assert (await turn(), await turn()) == (1, 1)
        later = now_ms() + 60_000
        environment.setattr(keyed_write, "now_ms", lambda: later)
        assert (await turn(), await turn()) == (2, 2)


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
