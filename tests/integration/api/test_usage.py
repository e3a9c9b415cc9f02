"""`GET /usage/`: what was used, for whoever has to pay for it."""

from __future__ import annotations

from typing import Any

import pytest

from api.routes.usage import MAX_DAYS
from api.services.keys import make
from shared.api_keys import Scope
from shared.clock import now_ms
from shared.database.access import Database
from shared.store import usage
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway

pytestmark = pytest.mark.anyio


async def ask_and_answer(gateway: Gateway, worker: PlayedWorker, *, end_user: str | None, model: str) -> str:
    """The conversation of a reply that was completed."""
    conversation_id = await gateway.new_conversation(end_user=end_user, model=model)
    await gateway.ask(conversation_id)
    await worker.answer_all()
    return conversation_id


def groups(page: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [(*(row[name] for name in names), row["total_tokens"]) for row in page["data"]]


async def test_it_tells_what_each_reply_cost(gateway: Gateway, worker: PlayedWorker) -> None:
    await ask_and_answer(gateway, worker, end_user="ada", model="a")
    turn = await gateway.ask(await gateway.new_conversation())
    await gateway.client.post(f"/replies/{turn['replies'][0]['id']}/cancel/")
    page = await gateway.get("/usage/")
    today = page["to"]
    assert page["by"] == ["day"]
    assert page["data"] == [
        {
            "day": today,
            "replies": {"completed": 1, "incomplete": 0, "failed": 0, "cancelled": 1},
            "attempts": 1,
            "input_tokens": 3,
            "output_tokens": 5,
            "total_tokens": 8,
            "estimated_tokens": 0,
        }
    ]
    assert await gateway.get(f"/usage/?from={today}&to={today}") == {**page, "from": today}
    assert await gateway.get(f"/usage/?from={today}T23:59:59Z&to={today}T00:00:01%2B00:00") == {**page, "from": today}
    assert (await gateway.get(f"/usage/?to={today}T00:00:00Z"))["data"] == []


async def test_it_stays_when_the_conversation_is_deleted(
    gateway: Gateway, worker: PlayedWorker, database: Database
) -> None:
    before = []
    for _ in range(2):
        conversation_id = await ask_and_answer(gateway, worker, end_user="ada", model="a")
        before = (await gateway.get("/usage/?by=end_user"))["data"]
        assert (await gateway.client.delete(f"/conversations/{conversation_id}/")).status_code == 204
        assert (await gateway.get("/usage/?by=end_user"))["data"] == before
        await database.write(usage.count)
    assert (before[0]["end_user"], before[0]["total_tokens"]) == ("ada", 16)


async def test_an_end_user_that_is_erased_leaves_what_was_used_without_a_name(
    gateway: Gateway, worker: PlayedWorker, database: Database
) -> None:
    gone = await ask_and_answer(gateway, worker, end_user="ada", model="a")
    await gateway.client.delete(f"/conversations/{gone}/")
    assert groups(await gateway.get("/usage/?by=end_user"), "end_user") == [("ada", 8)]
    assert (await gateway.client.delete("/end-users/ada/")).status_code == 200, "though no conversation is left"
    await ask_and_answer(gateway, worker, end_user="bob", model="a")
    await database.write(usage.count)
    await ask_and_answer(gateway, worker, end_user="bob", model="a")
    assert (await gateway.client.delete("/end-users/bob/")).status_code == 200
    assert groups(await gateway.get("/usage/?by=end_user"), "end_user") == [(None, 24)]


async def test_sums_come_page_by_page(gateway: Gateway, worker: PlayedWorker) -> None:
    for end_user, model in (("ada", "a"), ("ada", "b"), ("bob", "a"), (None, "a"), ("ü" * 255, "m" * 200)):
        await ask_and_answer(gateway, worker, end_user=end_user, model=model)
    by = "by=end_user,model"
    whole = groups(await gateway.get(f"/usage/?{by}"), "end_user", "model")
    assert whole[:4] == [(None, "a", 8), ("ada", "a", 8), ("ada", "b", 8), ("bob", "a", 8)]
    assert len(whole) == 5
    found, path = [], f"/usage/?{by}&limit=1"
    while path:
        answer = await gateway.client.get(path)
        found += groups(answer.json(), "end_user", "model")
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert found == whole
    cursor = (await gateway.get(f"/usage/?{by}&limit=1"))["next_cursor"]
    for elsewhere in ("day", "model,end_user", "model"):
        assert (await gateway.client.get(f"/usage/?by={elsewhere}&after={cursor}")).status_code == 422
    assert groups(await gateway.get("/usage/?by=end_user&by=model"), "end_user", "model") == whole


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("from=yesterday", "?from"),
        ("from=2026-02-30", "?from"),
        ("from=20260101", "?from"),
        ("from=2026-01-01T00:00:00", "?from"),
        ("from=2026-01-01T00:00:00+00:00", "?from"),
        ("from=0001-01-01T00:00:00%2B23:59", "?from"),
        ("from=1969-12-31&to=1969-12-31", "?to"),
        ("to=9999-99-99", "?to"),
        ("to=%00", "?to"),
        ("from=2026-02-01&to=2026-01-31", "?from"),
        ("from=2020-01-01&to=2021-01-01", "?from"),
        ("by=hour", "?by"),
        ("by=", "?by"),
        ("by=day,,model", "?by"),
        ("limit=0", "?limit"),
        ("limit=1e9", "?limit"),
        ("after=x", "?after"),
        ("after=WyJ1IiwiZGF5IiwiLTEiXQ", "?after"),
    ],
)
async def test_what_cannot_be_told_is_refused_and_named(gateway: Gateway, query: str, pointer: str) -> None:
    answer = await gateway.client.get(f"/usage/?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert MAX_DAYS == 366  # A leap year, and no day more.
    assert (await gateway.client.get("/usage/?from=2020-01-01&to=2020-12-31")).status_code == 200


async def test_a_tenant_sees_its_own_and_only_an_admins_key_opens_it(
    environment: pytest.MonkeyPatch, database: Database, worker: PlayedWorker
) -> None:
    async def key(tenant: str, *scopes: Scope) -> tuple[str, dict[str, str]]:
        made = await database.write(make, tenant, name="test", scopes=scopes, expires_at=now_ms() + 60_000, pepper="")
        return made.row["id"], {"Authorization": f"Bearer {made.secret}"}

    asking_id, asking = await key("mine", Scope.READ, Scope.WRITE)
    _, mine = await key("mine", Scope.ADMIN)
    _, others = await key("others", Scope.ADMIN)
    environment.setenv("ASYNCCHAT_AUTH", "keys")
    async with running_gateway() as gateway:
        client = gateway.client
        created = (await client.post("/conversations/", headers=asking)).json()
        tokens = await client.post(f"/conversations/{created['id']}/tokens/", headers=asking)
        browser = {"Authorization": f"Bearer {tokens.json()['token']}"}
        for headers in (asking, browser):
            asked = await client.post(
                f"/conversations/{created['id']}/ask-message/", json={"content": "Hello"}, headers=headers
            )
            assert asked.status_code == 202
            await worker.answer_all()
        assert (await client.get("/usage/", headers=asking)).status_code == 403
        assert (await client.get("/usage/", headers=browser)).status_code == 403
        assert (await client.get("/usage/")).status_code == 401
        assert (await client.get("/usage/", headers=others)).json()["data"] == []
        found = (await client.get("/usage/?by=key", headers=mine)).json()
        assert groups(found, "key") == [(asking_id, 16)], "a browser's token stands for the key that had it made"
