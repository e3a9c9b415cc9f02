"""Waiting on replies and conversations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.live import hub
from shared.errors import StorageUnavailable
from tests.fixtures.waiting import eventually, until
from tests.integration.api.gateway import LONG_SECONDS, Gateway, PlayedWorker, still_waits

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("_only_notices")]


@pytest.fixture
def _only_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at versions would make up for what a notice should have told.

    So nobody waits before Redis says that it listens, however long that takes.
    """
    monkeypatch.setattr(hub, "POLL_SECONDS_CONNECTED", 10 * LONG_SECONDS)
    monkeypatch.setattr(hub, "_ACKNOWLEDGE_SECONDS", LONG_SECONDS)


async def test_a_reply_is_waited_for_until_it_has_ended(gateway: Gateway, worker: PlayedWorker) -> None:
    turn = await gateway.ask(await gateway.new_conversation())
    waiting = asyncio.create_task(gateway.get(f"{turn['replies'][0]['url']}?wait=30"))
    (claim,) = await worker.claim()
    assert await still_waits(waiting)
    await worker.complete(claim, "Hello, Ada")
    reply = await asyncio.wait_for(waiting, LONG_SECONDS)
    assert (reply["status"], reply["content"], reply["attempt"]) == ("completed", "Hello, Ada", 1)
    assert reply["finished_at"] >= reply["started_at"] >= reply["created_at"]


async def test_a_conversation_is_waited_for_until_no_reply_is_live(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    await gateway.ask(conversation_id)
    waiting = asyncio.create_task(gateway.get(f"/conversations/{conversation_id}/?wait=30"))
    await worker.answer_all()
    assert await still_waits(waiting)
    await worker.answer_all()
    shown = await asyncio.wait_for(waiting, LONG_SECONDS)
    assert shown["live_replies"] == []
    assert len(shown["messages"]) == 4


async def test_with_since_a_conversation_is_waited_for_until_its_version_is_larger(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/"
    version = (await gateway.get(path))["version"]
    assert (await gateway.get(f"{path}?wait=30&since={version - 1}"))["version"] == version
    waiting = asyncio.create_task(gateway.get(f"{path}?wait=30&since={version}"))
    assert await still_waits(waiting)
    await gateway.client.patch(path, json={"title": "New"})
    assert (await asyncio.wait_for(waiting, LONG_SECONDS))["title"] == "New"


async def test_an_ask_is_a_change_that_is_waited_for(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/"
    version = (await gateway.get(path))["version"]
    waiting = asyncio.create_task(gateway.get(f"{path}?wait=30&since={version}"))
    assert await still_waits(waiting)
    await gateway.ask((await gateway.get(path))["id"])
    assert len((await asyncio.wait_for(waiting, LONG_SECONDS))["live_replies"]) == 1


async def test_a_change_that_is_no_end_is_looked_at_once(
    gateway: Gateway, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A waiter that went on reading would keep a core busy for as long as it waits."""
    turn = await gateway.ask(await gateway.new_conversation())
    reads = 0
    replies = gateway.resources.replies
    read = replies.read

    async def counted(*args: Any) -> Any:
        nonlocal reads
        found = await read(*args)
        reads += 1
        return found

    monkeypatch.setattr(replies, "read", counted)
    waiting = asyncio.create_task(gateway.get(f"{turn['replies'][0]['url']}?wait=30"))
    await eventually(lambda: reads >= 2)  # What there is, and once more since it listens.
    (claim,) = await worker.claim()
    await eventually(lambda: reads > 2)
    assert await still_waits(waiting)
    assert reads <= 6, "the ask and the claim are told here and over Redis, which may take its time"
    await worker.complete(claim)
    assert (await asyncio.wait_for(waiting, LONG_SECONDS))["status"] == "completed"


@pytest.mark.parametrize("path", ["/conversations/", "/conversations/{}/ask-message/"])
async def test_what_was_stored_is_not_denied_when_it_cannot_be_read_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Told that nothing was stored, a client would ask a second time."""
    path = path.format(await gateway.new_conversation())
    ask = {"content": "Hello"}

    async def fails(*_args: Any, **_kwargs: Any) -> Any:
        raise StorageUnavailable("the disk is on fire")

    monkeypatch.setattr(gateway.resources.database, "read", fails)
    if path == "/conversations/":
        created = await gateway.client.post(f"{path}?wait=10", json={"message": ask})
        assert created.status_code == 201
        turn = created.json()["turn"]
    else:
        asked = await gateway.client.post(f"{path}?wait=10", json=ask)
        assert asked.status_code == 202
        turn = asked.json()
    assert [reply["status"] for reply in turn["replies"]] == ["queued"]


async def test_without_live_replies_there_is_nothing_to_wait_for(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/"
    assert (await asyncio.wait_for(gateway.get(f"{path}?wait=50"), 10))["live_replies"] == []


@pytest.mark.parametrize("kind", ["reply", "turn", "conversation"])
async def test_whoever_waits_for_what_is_deleted_hears_that_it_is_gone(gateway: Gateway, kind: str) -> None:
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id)
    path = {
        "reply": turn["replies"][0]["url"],
        "turn": f"/conversations/{conversation_id}/turns/1/",
        "conversation": f"/conversations/{conversation_id}/",
    }[kind]
    waiting = asyncio.create_task(gateway.client.get(f"{path}?wait=30"))
    assert await still_waits(waiting)
    await gateway.client.delete(f"/conversations/{conversation_id}/")
    assert (await asyncio.wait_for(waiting, LONG_SECONDS)).status_code == 404


async def test_a_change_at_any_moment_of_the_wait_is_seen(gateway: Gateway, worker: PlayedWorker) -> None:
    """Each reply ends at another moment of its waiter's way from reading to listening."""
    turns = [await gateway.ask(await gateway.new_conversation()) for _ in range(40)]
    claims = {claim.reply_id: claim for claim in await worker.claim()}

    async def wait_and_end(number: int) -> str:
        reply = turns[number]["replies"][0]
        waiting = asyncio.create_task(gateway.get(f"{reply['url']}?wait=30"))
        for _ in range(number):
            await asyncio.sleep(0)
        await worker.complete(claims[reply["id"]])
        return str((await asyncio.wait_for(waiting, LONG_SECONDS))["status"])

    assert await asyncio.gather(*(wait_and_end(number) for number in range(40))) == ["completed"] * 40


async def test_if_none_match_is_about_the_state_at_the_end_of_the_wait(gateway: Gateway, worker: PlayedWorker) -> None:
    turn = await gateway.ask(await gateway.new_conversation())
    url = turn["replies"][0]["url"]
    tag = (await gateway.client.get(url)).headers["ETag"]
    still = await gateway.client.get(f"{url}?wait=0.2", headers={"If-None-Match": tag})
    assert still.status_code == 304
    assert still.headers["Retry-After"] == "1"
    waiting = asyncio.create_task(gateway.client.get(f"{url}?wait=30", headers={"If-None-Match": tag}))
    await until(lambda: _is_watched(gateway))
    await worker.answer_all()
    answer = await asyncio.wait_for(waiting, LONG_SECONDS)
    assert answer.status_code == 200
    assert answer.json()["status"] == "completed"


async def _is_watched(gateway: Gateway) -> bool:
    return gateway.resources.hub.watched > 0
