"""Forking over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from shared.database.access import Database
from shared.database.models import conversations
from tests.integration.api.gateway import Gateway, PlayedWorker

pytestmark = pytest.mark.anyio

UNKNOWN = "conv_01m8376nm1zqqnsr0dt18yp372"


async def talked(gateway: Gateway, worker: PlayedWorker, *questions: str, **settings: Any) -> str:
    """A conversation in which each question has an answer."""
    conversation_id = await gateway.new_conversation(**settings)
    for question in questions:
        await gateway.ask(conversation_id, question)
        await worker.answer_all(f"{question} Yes.")
    return conversation_id


async def test_the_copy_is_a_conversation_of_its_own(gateway: Gateway, worker: PlayedWorker) -> None:
    settings = {"title": "Ours", "instructions": "Be brief.", "metadata": {"a": "b"}, "end_user": "ada"}
    source = await talked(gateway, worker, "One?", "Two?", **settings)
    before = await gateway.get(f"/conversations/{source}/")
    answer = await gateway.client.post(f"/conversations/{source}/fork/")
    assert answer.status_code == 201
    copy = answer.json()
    assert answer.headers["Location"] == f"/conversations/{copy['id']}/"
    assert copy == await gateway.get(answer.headers["Location"])
    assert {name: copy[name] for name in settings} == settings
    assert [message["content"] for message in copy["messages"]] == ["One?", "One? Yes.", "Two?", "Two? Yes."]
    assert copy["id"] != source
    assert {message["id"] for message in copy["messages"]}.isdisjoint(message["id"] for message in before["messages"])
    assert {message["conversation_id"] for message in copy["messages"]} == {copy["id"]}
    assert await gateway.get(f"/conversations/{source}/") == before
    assert [row["id"] for row in (await gateway.get("/conversations/"))["data"]] == [copy["id"], source]
    turn = await gateway.get(f"/conversations/{copy['id']}/turns/2/")
    (reply,) = turn["replies"]
    assert (reply["content"], reply["selected"], reply["attempt"]) == ("Two? Yes.", True, 1)
    assert await gateway.get(f"{reply['url']}attempts/") == {"data": []}


async def test_the_copy_goes_on_by_itself(gateway: Gateway, worker: PlayedWorker) -> None:
    source = await talked(gateway, worker, "One?", "Two?")
    answer = await gateway.client.post(f"/conversations/{source}/fork/", json={"up_to_turn": 1})
    copy = answer.json()["id"]
    assert (await gateway.ask(copy, "Another?"))["turn"] == 2
    await worker.answer_all("Another way.")
    await gateway.client.delete(f"/conversations/{source}/")
    found = await gateway.get(f"/conversations/{copy}/")
    assert [message["content"] for message in found["messages"]] == ["One?", "One? Yes.", "Another?", "Another way."]


async def test_an_earlier_answer_is_regenerated_in_a_copy(gateway: Gateway, worker: PlayedWorker) -> None:
    source = await talked(gateway, worker, "One?", "Two?")
    answer = await gateway.client.post(f"/conversations/{source}/fork/", json={"up_to_turn": 1})
    copy = answer.json()
    reply_id = copy["messages"][-1]["reply_id"]
    assert (await gateway.client.post(f"/replies/{reply_id}/regenerate/")).status_code == 202
    await worker.answer_all("No.")
    turn = await gateway.get(f"/conversations/{copy['id']}/turns/1/")
    assert [(reply["content"], reply["selected"]) for reply in turn["replies"]] == [("One? Yes.", False), ("No.", True)]


@pytest.mark.parametrize("body", [None, {}, {"up_to_turn": None}])
async def test_without_a_turn_all_is_copied(gateway: Gateway, worker: PlayedWorker, body: Any) -> None:
    source = await talked(gateway, worker, "One?", "Two?")
    answer = await gateway.client.post(f"/conversations/{source}/fork/", json=body)
    assert len(answer.json()["messages"]) == 4


async def test_up_to_turn_zero_only_the_settings_are_copied(gateway: Gateway, worker: PlayedWorker) -> None:
    source = await talked(gateway, worker, "One?", instructions="Be brief.")
    answer = await gateway.client.post(f"/conversations/{source}/fork/", json={"up_to_turn": 0})
    assert (answer.json()["messages"], answer.json()["instructions"]) == ([], "Be brief.")
    assert (await gateway.ask(answer.json()["id"]))["turn"] == 1


@pytest.mark.parametrize("up_to_turn", [-1, 3, 2**31 - 1, 2**31, 10**30, True, "1", 1.5, [1]])
async def test_a_turn_that_is_not_there_is_refused(gateway: Gateway, worker: PlayedWorker, up_to_turn: Any) -> None:
    source = await talked(gateway, worker, "One?", "Two?")
    answer = await gateway.client.post(f"/conversations/{source}/fork/", json={"up_to_turn": up_to_turn})
    assert answer.status_code == 422
    if up_to_turn != 10**30:  # No number of ours, wherever it stands.
        assert answer.json()["errors"][0]["pointer"] == "#/up_to_turn"
    assert len((await gateway.get("/conversations/"))["data"]) == 1


@pytest.mark.parametrize("which", [UNKNOWN, "conv_x", "deleted", "another's"])
async def test_what_is_not_there_is_not_found(
    gateway: Gateway, worker: PlayedWorker, database: Database, which: str
) -> None:
    source = await talked(gateway, worker, "One?")
    if which == "deleted":
        await gateway.client.delete(f"/conversations/{source}/")
    if which == "another's":
        await database.write(lambda connection: connection.execute(update(conversations).values(tenant_id="another")))
    path = f"/conversations/{which if which.startswith('conv_') else source}/fork/"
    answer = await gateway.client.post(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_live_replies_stay_behind(gateway: Gateway, worker: PlayedWorker) -> None:
    source = await talked(gateway, worker, "One?")
    await gateway.ask(source, "Two?")
    (claim,) = await worker.claim()
    await gateway.ask(source, "Three?")
    answer = await gateway.client.post(f"/conversations/{source}/fork/")
    copy = answer.json()
    assert [message["content"] for message in copy["messages"]] == ["One?", "One? Yes.", "Two?", "Three?"]
    assert copy["live_replies"] == []
    assert (await gateway.get(f"/conversations/{copy['id']}/turns/2/"))["replies"] == []
    await worker.complete(claim)
    await worker.answer_all()
    assert len((await gateway.get(f"/conversations/{copy['id']}/"))["messages"]) == 4


async def test_the_forks_of_forks_are_all_there(gateway: Gateway, worker: PlayedWorker) -> None:
    source = await talked(gateway, worker, "One?")
    for _ in range(5):
        source = (await gateway.client.post(f"/conversations/{source}/fork/")).json()["id"]
    assert len((await gateway.get("/conversations/"))["data"]) == 6
    assert len((await gateway.get(f"/conversations/{source}/"))["messages"]) == 2
