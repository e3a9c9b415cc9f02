"""Conversations over HTTP."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from shared.store.moves import Lost
from tests.fixtures.valkey import Valkey
from tests.integration.api.gateway import LONG_SECONDS, Gateway, PlayedWorker, running_gateway, still_waits
from tests.integration.api.redis_side import ear

pytestmark = pytest.mark.anyio

UNKNOWN = "conv_01m8376nm1zqqnsr0dt18yp372"


async def test_a_conversation_can_be_created_without_a_body(gateway: Gateway) -> None:
    answer = await gateway.client.post("/conversations/")
    assert answer.status_code == 201
    created = answer.json()
    assert answer.headers["Location"] == f"/conversations/{created['id']}/"
    assert created["messages"] == created["live_replies"] == []
    assert (created["title"], created["parameters"], created["version"]) == (None, {}, 1)
    assert "turn" not in created


async def test_a_conversation_keeps_the_settings_it_was_created_with(gateway: Gateway) -> None:
    settings = {
        "title": "Sums",
        "instructions": "Be brief.",
        "model": "some-model",
        "parameters": {"temperature": 1, "stop": ["END"], "seed": -5},
        "metadata": {"project": "school"},
        "end_user": "ada",
    }
    conversation_id = await gateway.new_conversation(**settings)
    found = await gateway.get(f"/conversations/{conversation_id}/")
    assert {name: found[name] for name in settings} == settings


async def test_a_message_at_creation_is_asked_as_the_first_turn(gateway: Gateway) -> None:
    message = {"content": "Hello, I am Ada", "n": 2, "model": "other", "metadata": {"a": "b"}}
    answer = await gateway.client.post("/conversations/", json={"message": message, "model": "some-model"})
    assert answer.status_code == 201
    created = answer.json()
    assert created["title"] == "Hello, I am Ada"
    assert [message["content"] for message in created["messages"]] == ["Hello, I am Ada"]
    assert created["turn"]["replies"] == created["live_replies"]
    replies = created["turn"]["replies"]
    assert [(reply["candidate"], reply["model"], reply["metadata"]) for reply in replies] == [
        (1, "other", {"a": "b"}),
        (2, "other", {"a": "b"}),
    ]


async def test_creation_with_a_bad_message_creates_nothing(gateway: Gateway) -> None:
    answer = await gateway.client.post("/conversations/", json={"message": {"content": " "}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/message/content"
    assert (await gateway.get("/conversations/"))["data"] == []


async def test_a_change_sets_what_it_names_and_null_resets(gateway: Gateway) -> None:
    conversation_id = await gateway.new_conversation(title="Old", end_user="ada", metadata={"a": "b"})
    path = f"/conversations/{conversation_id}/"
    answer = await gateway.client.patch(path, json={"title": "New", "end_user": None, "metadata": None})
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["title"], changed["end_user"], changed["metadata"]) == ("New", None, {})
    assert changed == await gateway.get(path)
    assert changed["version"] == 2


async def test_an_empty_change_changes_nothing(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/"
    before = await gateway.get(path)
    answer = await gateway.client.patch(path, json={})
    assert answer.status_code == 200
    assert answer.json() == before


async def test_a_deleted_conversation_is_gone_with_all_that_is_in_it(gateway: Gateway) -> None:
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id)
    path = f"/conversations/{conversation_id}/"
    assert (await gateway.client.delete(path)).status_code == 204
    for gone in (path, f"{path}turns/1/", f"{path}messages/", turn["replies"][0]["url"]):
        assert (await gateway.client.get(gone)).status_code == 404
    assert (await gateway.client.post(f"{path}ask-message/", json={"content": "Hello?"})).status_code == 404
    assert (await gateway.client.delete(path)).status_code == 404


async def test_deleting_stops_what_is_being_answered(
    gateway: Gateway, worker: PlayedWorker, shared_valkey: Valkey
) -> None:
    """Its workers are told, what waits for a worker is no work any more, and whoever waits is answered."""
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id, n=2)
    claims = await worker.claim()
    await gateway.ask(conversation_id)
    path = f"/conversations/{conversation_id}/"
    reply_paths = [f"/replies/{claim.reply_id}/" for claim in claims]
    async with running_gateway() as other, ear(shared_valkey) as heard:
        waiting = [
            asyncio.create_task(each.client.get(f"{found}?wait=30"))
            for each in (gateway, other)
            for found in (path, f"{path}turns/2/", reply_paths[0])
        ]
        assert await still_waits(waiting[0])
        assert (await gateway.client.delete(path)).status_code == 204
        assert {await heard.next(), await heard.next()} == {claim.reply_id for claim in claims}
        answers = await asyncio.wait_for(asyncio.gather(*waiting), LONG_SECONDS)
    assert {answer.status_code for answer in answers} == {404}
    assert await worker.claim() == []
    with pytest.raises(Lost):
        await worker.complete(claims[0])
    for action in ("cancel", "retry", "regenerate", "select"):
        assert (await gateway.client.post(f"{reply_paths[0]}{action}/")).status_code == 404
    assert (await gateway.get("/replies/"))["data"] == []


async def test_a_deletion_and_asks_at_once_leave_nothing_behind(gateway: Gateway, worker: PlayedWorker) -> None:
    async with running_gateway() as other:
        for _ in range(5):
            path = f"/conversations/{await gateway.new_conversation()}/"
            body = {"content": "Hello", "on_busy": "interrupt"}
            answers = await asyncio.gather(
                *(each.client.post(f"{path}ask-message/", json=body) for each in (gateway, other) for _ in range(4)),
                gateway.client.delete(path),
                other.client.delete(path),
                worker.claim(),
            )
            statuses = [answer.status_code for answer in answers[:-1] if isinstance(answer, httpx2.Response)]
            assert set(statuses[:-2]) <= {202, 404}
            assert sorted(statuses[-2:]) == [204, 404]
    assert (await gateway.get("/replies/"))["data"] == []


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("conversation_id", [UNKNOWN, "conv_x", "7", "reply_01m8376nm1zqqnsr0dt18yp372", "%00", "a'--"])
async def test_an_unknown_or_malformed_id_is_not_found(gateway: Gateway, method: str, conversation_id: str) -> None:
    body = {"title": "x"} if method == "PATCH" else None
    answer = await gateway.client.request(method, f"/conversations/{conversation_id}/", json=body)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


async def test_the_list_shows_the_last_changed_first(gateway: Gateway) -> None:
    first, second = await gateway.new_conversation(title="1"), await gateway.new_conversation(title="2")
    await gateway.ask(first)
    page = await gateway.get("/conversations/")
    assert [item["id"] for item in page["data"]] == [first, second]
    assert (page["has_more"], page["next_cursor"]) == (False, None)
    assert not {"messages", "live_replies", "previous_messages"} & page["data"][0].keys()
    page = await gateway.get("/conversations/?order=asc")
    assert [item["id"] for item in page["data"]] == [second, first]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_follow_on_each_other_by_cursor_and_by_link(gateway: Gateway, order: str) -> None:
    for number in range(5):
        await gateway.new_conversation(title=str(number), end_user="ada & bob")
    await gateway.new_conversation(title="not hers")
    url: str | None = f"/conversations/?limit=2&order={order}&end_user=ada%20%26%20bob"
    titles: list[str] = []
    while url:
        answer = await gateway.client.get(url)
        page = answer.json()
        titles += [item["title"] for item in page["data"]]
        assert page["has_more"] is (page["next_cursor"] is not None) is ("next" in answer.links)
        url = answer.links["next"]["url"] if page["has_more"] else None
    assert titles == (["0", "1", "2", "3", "4"] if order == "asc" else ["4", "3", "2", "1", "0"])


async def test_a_conversation_shows_its_newest_messages_and_where_the_others_are(gateway: Gateway) -> None:
    conversation_id = await gateway.new_conversation()
    path = f"/conversations/{conversation_id}/"
    for number in range(3):
        await gateway.client.post(f"{path}messages/", json={"role": "user", "content": str(number)})
    shown = await gateway.get(f"{path}?messages=2")
    assert [message["content"] for message in shown["messages"]] == ["1", "2"]
    before = await gateway.get(shown["previous_messages"])
    assert [message["content"] for message in before["data"]] == ["0"]
    assert (await gateway.get(f"{path}?messages=3"))["previous_messages"] is None
    none = await gateway.get(f"{path}?messages=0")
    assert none["messages"] == []
    assert len((await gateway.get(none["previous_messages"]))["data"]) == 3


async def test_a_conversation_shows_its_live_replies_with_their_text_so_far(
    gateway: Gateway, worker: PlayedWorker
) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    await gateway.ask(conversation_id)
    (claim,) = await worker.claim()
    await worker.write(claim, "Hel")
    shown = await gateway.get(f"/conversations/{conversation_id}/")
    assert [(reply["status"], reply["content"]) for reply in shown["live_replies"]] == [
        ("in_progress", "Hel"),
        ("queued", ""),
    ]
    assert shown["live_replies"][1]["queue"] == {"turns_ahead": 1, "waiting_for": "turn", "next_attempt_at": None}


async def test_a_title_that_is_reset_is_the_first_messages_again(gateway: Gateway) -> None:
    conversation_id = await gateway.new_conversation(title="Old")
    path = f"/conversations/{conversation_id}/"
    assert (await gateway.client.patch(path, json={"title": None})).json()["title"] is None
    await gateway.ask(conversation_id, "Hello, I am Ada")
    await gateway.client.patch(path, json={"title": "New"})
    assert (await gateway.client.patch(path, json={"title": None})).json()["title"] == "Hello, I am Ada"
