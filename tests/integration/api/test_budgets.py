"""Budgets over HTTP: setting them, and being refused when one is used up."""

from __future__ import annotations

from typing import Any

import pytest

from api.services.keys import make
from shared.api_keys import Scope
from shared.database.access import Database
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway

pytestmark = pytest.mark.anyio

# What the played worker uses for each reply.
REPLY = 8


async def put(gateway: Gateway, path: str, **limits: int) -> dict[str, Any]:
    answer = await gateway.client.put(f"/budgets/{path}/", json=limits)
    assert answer.status_code == 200, answer.text
    budget: dict[str, Any] = answer.json()
    return budget


async def test_what_nobody_pays_for_is_refused_through_every_door(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation(end_user="ada")
    turn = await gateway.ask(conversation_id)
    await worker.answer_all()
    reply_id = turn["replies"][0]["id"]
    budget = await put(gateway, "end-users/ada", tokens_per_day=REPLY)
    assert (budget["used_today"], budget["used_this_month"], budget["id"]) == (REPLY, REPLY, "ada")
    hello = {"content": "Hello"}
    for path, body in (
        (f"/conversations/{conversation_id}/ask-message/", hello),
        ("/conversations/", {"end_user": "ada", "message": hello}),
        (f"/replies/{reply_id}/regenerate/", {}),
    ):
        refused = await gateway.client.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (429, "budget_exceeded"), path
        assert 0 < int(refused.headers["Retry-After"]) <= 86_400
        assert "of this end user, 8 tokens a day, is used up until" in refused.json()["detail"]
    asks: list[tuple[str, dict[str, Any]]] = [
        ("/v1/responses", {"input": "Hello", "user": "ada"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "model": "m", "user": "ada"}),
    ]
    for path, asked in asks:
        refused = await gateway.client.post(path, json=asked)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["type"]) == (429, "insufficient_quota", "insufficient_quota")
        assert refused.headers["x-should-retry"] == "false"
    assert (await gateway.get(f"/conversations/{conversation_id}/"))["live_replies"] == []
    await gateway.ask(await gateway.new_conversation(end_user="bob"))
    await put(gateway, "end-users/ada", tokens_per_day=REPLY + 1)
    await gateway.ask(conversation_id)


async def test_a_retry_is_asked_for_again(gateway: Gateway, worker: PlayedWorker) -> None:
    turn = await gateway.ask(await gateway.new_conversation())
    (claim,) = await worker.claim()
    await worker.fail(claim)
    await put(gateway, "tenant", tokens_per_month=0)
    retry = f"/replies/{turn['replies'][0]['id']}/retry/"
    assert (await gateway.client.post(retry)).json()["code"] == "budget_exceeded"
    assert (await gateway.client.delete("/budgets/tenant/")).status_code == 204
    assert (await gateway.client.post(retry)).status_code == 202


async def test_budgets_are_set_read_listed_and_lifted(gateway: Gateway) -> None:
    key = (await gateway.client.post("/keys/", json={"name": "app", "budget_tokens_per_day": 5})).json()["id"]
    paths = ["each-end-user", "end-users/a%2Fb", "end-users/%C3%BC", f"keys/{key}", "tenant"]
    for path in paths:
        budget = await put(gateway, path, tokens_per_day=7, tokens_per_month=9)
        assert (budget["tokens_per_day"], budget["tokens_per_month"]) == (7, 9)
        assert await gateway.get(f"/budgets/{path}/") == budget
    listed = (await gateway.get("/budgets/"))["data"]
    named = [(each["kind"], each["id"]) for each in listed]
    ends = [("each_end_user", None), ("end_user", "a/b"), ("end_user", "ü"), ("key", key), ("tenant", None)]
    assert named == ends
    found, path = [], "/budgets/?limit=2"
    while path:
        answer = await gateway.client.get(path)
        found += answer.json()["data"]
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert found == listed
    shared = await gateway.get("/budgets/end-users/nobody/")
    assert (shared["kind"], shared["id"], shared["used_today"]) == ("each_end_user", "nobody", 0)
    for path in paths:
        assert (await gateway.client.delete(f"/budgets/{path}/")).status_code == 204
        assert (await gateway.client.delete(f"/budgets/{path}/")).status_code == 404
        assert (await gateway.client.get(f"/budgets/{path}/")).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#"),
        ({"tokens_per_day": None}, "#"),
        ({"tokens_per_day": -1}, "#/tokens_per_day"),
        ({"tokens_per_day": 1.5}, "#/tokens_per_day"),
        ({"tokens_per_month": "7"}, "#/tokens_per_month"),
        ({"tokens_per_month": 2**53 + 1}, "#/tokens_per_month"),
        ({"tokens_per_year": 7}, "#/tokens_per_year"),
    ],
)
async def test_what_is_no_budget_is_refused_and_named(gateway: Gateway, body: dict[str, Any], pointer: str) -> None:
    answer = await gateway.client.put("/budgets/tenant/", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await gateway.get("/budgets/"))["data"] == []


async def test_a_new_key_in_the_place_of_one_has_its_budget_and_no_tenant_sees_anothers(
    environment: pytest.MonkeyPatch, database: Database
) -> None:
    async def headers(tenant: str) -> dict[str, str]:
        made = await database.write(make, tenant, name="test", scopes={Scope.ADMIN}, expires_at=None, pepper="")
        return {"Authorization": f"Bearer {made.secret}"}

    mine, others = await headers("mine"), await headers("others")
    environment.setenv("ASYNCCHAT_AUTH", "keys")
    async with running_gateway() as gateway:
        client = gateway.client
        body = {"name": "app", "budget_tokens_per_month": 0}
        made = (await client.post("/keys/", json=body, headers=mine)).json()
        rotated = (await client.post(f"/keys/{made['id']}/rotate/", headers=mine)).json()
        for key in (made, rotated):
            path = f"/budgets/keys/{key['id']}/"
            assert (await client.get(path, headers=mine)).json()["tokens_per_month"] == 0
            for method in ("GET", "DELETE"):
                assert (await client.request(method, path, headers=others)).status_code == 404
            assert (await client.put(path, json={"tokens_per_day": 1}, headers=others)).status_code == 404
            asked = {"Authorization": f"Bearer {key['secret']}"}
            refused = await client.post("/conversations/", json={"message": {"content": "Hi"}}, headers=asked)
            assert refused.json()["code"] == "budget_exceeded"
            assert (await client.get("/budgets/", headers=asked)).status_code == 403
        assert (await client.get("/budgets/", headers=others)).json()["data"] == []
