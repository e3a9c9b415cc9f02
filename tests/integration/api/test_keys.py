"""Keys: who has none gets nothing, and who has one gets what it is good for, of its own tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.routing import Route

from api.entry import auth
from api.schemas.webhooks import CreateWebhookBody
from api.services import webhooks
from api.services.keys import make
from shared.api_keys import Scope
from shared.clock import now_ms
from shared.database.access import Database
from shared.errors import StorageUnavailable
from tests.fixtures.waiting import until
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway
from tests.integration.api.streaming import serving_gateway

pytestmark = pytest.mark.anyio

EVERYONES = {"/", "/ops", "/healthz", "/readyz", "/openapi.json", "/docs", "/errors/{code}"}
# Files that anybody may have; the walk names none that is there.
FILES = ("/docs", "/assets")
# What each address takes; all others take an empty object.
BODIES = {
    "ask-message/": {"content": "Hello"},
    "messages/": {"role": "user", "content": "Hello"},
    "feedback/": {"rating": "up"},
    "items": {"items": [{"role": "user", "content": "Hello"}]},
    "{conversation_id}": {"metadata": {}},
    "{key_id}/": {"tokens_per_day": 1},
}
# What makes something of one's own, and names nothing that is there.
MAKING = {
    *("/conversations/", "/v1/conversations", "/v1/responses", "/v1/chat/completions"),
    *("/keys/", "/webhooks/", "/budgets/tenant/", "/budgets/each-end-user/"),
    "/budgets/end-users/{end_user:path}/",
}
FULL = frozenset({Scope.READ, Scope.WRITE})
# In whatever the scene has a text.
MARK = "only-for-its-tenant"


class Keys:
    """Makes keys in the database, as `asyncchat keys create` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(
        self, tenant: str = "default", *, scopes: frozenset[Scope] = FULL, expires_at: int | None = None
    ) -> tuple[str, dict[str, str]]:
        """Its id, and the header that shows it."""
        made = await self._database.write(make, tenant, name="test", scopes=scopes, expires_at=expires_at, pepper="")
        return made.row["id"], {"Authorization": f"Bearer {made.secret}"}


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


@pytest.fixture
async def locked(environment: pytest.MonkeyPatch, keys: Keys) -> AsyncIterator[Gateway]:
    """A gateway that asks for keys; somebody has one."""
    await keys.make("somebody")
    environment.setenv("ASYNCCHAT_AUTH", "keys")
    async with running_gateway() as running:
        yield running


async def _scene(gateway: Gateway, headers: dict[str, str]) -> dict[str, str]:
    """One of everything that the tenant has, by the names that paths have for them."""
    client = gateway.client
    body = {"title": MARK, "instructions": MARK, "end_user": MARK, "message": {"content": MARK}}
    created = (await client.post("/conversations/", json=body, headers=headers)).json()
    reply = created["turn"]["replies"][0]
    response = (await client.post("/v1/responses", json={"input": MARK, "background": True}, headers=headers)).json()
    resources = gateway.resources
    identity = await resources.authenticator.identify(headers["Authorization"].removeprefix("Bearer "))
    assert identity is not None
    told = CreateWebhookBody(url="https://93.184.216.34/")
    webhook = await webhooks.create(resources, identity.tenant_id, told, keyed=None)
    delivery = await webhooks.test(resources, identity.tenant_id, webhook["id"])
    return {
        "webhook_id": webhook["id"],
        "delivery_id": delivery["id"],
        "conversation_id": created["id"],
        "turn": "1",
        "reply_id": reply["id"],
        "response_id": response["id"],
        "item_id": created["turn"]["message"]["id"],
        "name": "demo",
        "code": "not_found",
        "key_id": "key_01m86nzqqk652jp7wdnyyebm22",
        "path": "x",
        "version": "1",
        "end_user": "ada",
        "erasure_id": "erasure_01m86nzqqk652jp7wdnyyebm22",
    }


def _walk(gateway: Gateway, names: dict[str, str]) -> list[tuple[str, str, str]]:
    """Every route with every method: its template, the method, and the address of something that is there."""
    found = []
    for route in gateway.app.routes:
        assert isinstance(route, Route)
        path = route.path
        for name, value in names.items():
            path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
        assert "{" not in path, f"{route.path}: say in _scene() what is there by that name"
        found += [(route.path, method, path) for method in sorted((route.methods or set()) - {"HEAD"})]
    assert len(found) > 35
    return found


async def _answers(
    client: httpx2.AsyncClient, method: str, path: str, headers: dict[str, str], *, template: str = ""
) -> httpx2.Response:
    body = BODIES.get(template.rstrip("/").rpartition("/")[2] + "/" * template.endswith("/"), {})
    return await client.request(
        method, path, json=body if method in {"POST", "PUT", "PATCH"} else None, headers=headers
    )


async def test_without_a_good_key_nothing_is_to_be_had_anywhere(locked: Gateway, keys: Keys) -> None:
    _, mine = await keys.make()
    names = await _scene(locked, mine)
    revoked, revoked_key = await keys.make()
    _, admin = await keys.make(scopes=frozenset({Scope.ADMIN}))
    assert (await locked.client.delete(f"/keys/{revoked}/", headers=admin)).status_code == 204
    _, expired = await keys.make(expires_at=now_ms() - 1)
    bad: list[dict[str, str]] = [
        {},
        revoked_key,
        expired,
        {"Authorization": mine["Authorization"][:-1] + ("A" if mine["Authorization"][-1] != "A" else "B")},
        {"Authorization": "Bearer ak_000000000000_" + "x" * 43},
        {"Authorization": mine["Authorization"].replace("Bearer", "Basic")},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer sk-something-else"},
    ]
    for template, method, path in _walk(locked, names):
        for headers in bad:
            answer = await _answers(locked.client, method, path, headers)
            if _is_everyones(template):
                assert answer.status_code < 400 or template.startswith(FILES), (method, path)
                break
            assert answer.status_code == 401, (method, path, headers)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert answer.headers["X-Request-ID"]


def _is_everyones(template: str) -> bool:
    return template in EVERYONES or template.startswith(FILES)


async def test_another_tenants_things_are_not_there(locked: Gateway, keys: Keys) -> None:
    """Whatever names a thing of its own is 404, however it is asked for; whatever names none shows nothing of it."""
    _, mine = await keys.make("mine")
    _, other = await keys.make("other", scopes=frozenset({Scope.ADMIN}))
    names = await _scene(locked, mine)
    before = await locked.client.get(f"/conversations/{names['conversation_id']}/", headers=mine)
    assert MARK in before.text
    shown = {MARK, *(names[name] for name in names if name.endswith("_id"))}
    for template, method, path in _walk(locked, names):
        if _is_everyones(template) or "{name" in template or (method == "PUT" and template in MAKING):
            continue
        if "{" in template:
            # Also where it would be waited for or listened to.
            for query in ("", "?wait=20", "?stream=true") if method == "GET" else ("", "?wait=20"):
                answer = await _answers(locked.client, method, path + query, other, template=template)
                assert answer.status_code == 404, (method, path + query, answer.text)
        elif method == "GET":
            answer = await _answers(locked.client, method, path, other)
            assert [each for each in shown if each in answer.text] == [], (method, path)
        else:
            assert template in MAKING, f"{method} {template}: say in MAKING that it names nothing, or test it here"
    streamed = {**other, "Accept": "text/event-stream"}
    path = f"/conversations/{names['conversation_id']}/ask-message/"
    assert (await locked.client.post(path, json={"content": "Hi"}, headers=streamed)).status_code == 404
    assert (
        await locked.client.get(f"/conversations/{names['conversation_id']}/", headers=mine)
    ).json() == before.json()
    for listed in ("/conversations/", "/replies/", "/v1/conversations", "/keys/", "/webhooks/"):
        data = (await locked.client.get(listed, headers=other)).json()["data"]
        assert [each for each in data if "prefix" not in each] == [], listed
    body = {"input": "Hi", "background": True}
    for told in ({"conversation": names["conversation_id"]}, {"previous_response_id": names["response_id"]}):
        assert (await locked.client.post("/v1/responses", json={**body, **told}, headers=other)).status_code == 404


async def test_the_token_of_another_conversation_opens_nothing(locked: Gateway, keys: Keys) -> None:
    _, mine = await keys.make()
    names = await _scene(locked, mine)
    elsewhere = (await locked.client.post("/conversations/", headers=mine)).json()["id"]
    made = await locked.client.post(f"/conversations/{elsewhere}/tokens/", headers=mine)
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    for template, method, path in _walk(locked, names):
        if not _is_everyones(template):
            answer = await _answers(locked.client, method, path, bearer, template=template)
            # What a token may do by the id of a reply, it may in its own conversation.
            assert answer.status_code == (404 if template.endswith("/feedback/") else 403), (method, path)
        if template.endswith("/events/"):
            answer = await locked.client.get(f"{path}?access_token={made.json()['token']}")
            assert answer.status_code == 403, path


@pytest.mark.parametrize("scope", Scope)
async def test_a_key_is_good_for_its_scope_and_no_more(locked: Gateway, keys: Keys, scope: Scope) -> None:
    _, mine = await keys.make()
    names = await _scene(locked, mine)
    _, narrow = await keys.make(scopes=frozenset({scope}))
    for template, method, path in _walk(locked, names):
        if _is_everyones(template):
            continue
        if template.startswith(("/keys", "/webhooks", "/workers", "/operations", "/usage")):
            allowed = scope is Scope.ADMIN
        elif method == "GET":
            allowed = scope in {Scope.READ, Scope.ADMIN}
        else:
            allowed = scope in {Scope.WRITE, Scope.ADMIN}
        if allowed:
            continue
        answer = await _answers(locked.client, method, path, narrow)
        assert answer.status_code == 403, (method, path)
        code = answer.json()["error"]["code"] if path.startswith("/v1") else answer.json()["code"]
        assert code == ("insufficient_permissions" if path.startswith("/v1") else "forbidden")


async def test_openais_sdk_is_told_in_its_own_words(locked: Gateway) -> None:
    answer = await locked.client.post("/v1/responses", json={"input": "Hi"})
    assert (answer.status_code, answer.headers["x-should-retry"]) == (401, "false")
    assert answer.json()["error"]["code"] == "invalid_api_key"


async def test_keys_are_made_listed_rotated_and_revoked(
    locked: Gateway, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, admin = await keys.make("acme", scopes=frozenset({Scope.ADMIN}))
    made = await locked.client.post("/keys/", json={"name": "backend", "expires_in_seconds": 3600}, headers=admin)
    assert made.status_code == 201
    key: dict[str, Any] = made.json()
    assert key["scopes"] == ["read", "write"]
    assert key["secret"].startswith(key["prefix"] + "_")
    held = {"Authorization": f"Bearer {key['secret']}"}
    conversation = (await locked.client.post("/conversations/", headers=held)).json()["id"]

    shown = (await locked.client.get(f"/keys/{key['id']}/", headers=admin)).json()
    assert "secret" not in shown
    assert {
        name: value for name, value in key.items() if name not in {"secret", "last_used_at"}
    }.items() <= shown.items()
    first = (await locked.client.get("/keys/?limit=1", headers=admin)).json()
    assert [each["id"] for each in first["data"]] == [key["id"]]
    assert len((await locked.client.get(f"/keys/?after={first['next_cursor']}", headers=admin)).json()["data"]) == 1

    rotated = await locked.client.post(f"/keys/{key['id']}/rotate/", json={"overlap_seconds": 600}, headers=admin)
    new = {"Authorization": f"Bearer {rotated.json()['secret']}"}
    for headers in (held, new):
        assert (await locked.client.get(f"/conversations/{conversation}/", headers=headers)).status_code == 200
    again = await locked.client.post(
        f"/keys/{rotated.json()['id']}/rotate/", json={"overlap_seconds": 0}, headers=admin
    )
    assert (await locked.client.get("/conversations/", headers=new)).status_code == 401
    newest = {"Authorization": f"Bearer {again.json()['secret']}"}
    assert (await locked.client.get("/conversations/", headers=newest)).status_code == 200
    conflict = await locked.client.post(f"/keys/{rotated.json()['id']}/rotate/", headers=admin)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "conflict")

    twice = await locked.client.post(f"/keys/{key['id']}/rotate/", json={"overlap_seconds": 600}, headers=admin)
    assert twice.status_code == 409, "the first new key may be in use"

    # A gateway believes for a moment what it has read; another one has not been told.
    monkeypatch.setattr(auth, "BELIEVE_SECONDS", 0.0)
    async with running_gateway() as other:
        assert (await other.client.get("/conversations/", headers=newest)).status_code == 200
        assert (await locked.client.delete(f"/keys/{again.json()['id']}/", headers=admin)).status_code == 204
        for gateway in (locked, other):
            assert (await gateway.client.get("/conversations/", headers=newest)).status_code == 401


async def test_the_worker_answers_for_every_tenant(locked: Gateway, keys: Keys, worker: PlayedWorker) -> None:
    for tenant in ("one", "two"):
        _, headers = await keys.make(tenant)
        await _scene(locked, headers)
    claimed = await worker.claim()
    assert {claim.tenant_id for claim in claimed} == {"one", "two"}


async def test_a_browsers_token_is_good_for_its_conversation_alone(locked: Gateway, keys: Keys) -> None:
    _, mine = await keys.make()
    names = await _scene(locked, mine)
    path = f"/conversations/{names['conversation_id']}/"
    made = await locked.client.post(f"{path}tokens/", json={"expires_in_seconds": 60}, headers=mine)
    assert made.status_code == 201
    token = made.json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    asked = await locked.client.post(f"{path}ask-message/", json={"content": "Hi"}, headers=bearer)
    assert asked.status_code == 202
    for allowed in (path, f"{path}messages/", f"{path}turns/1/"):
        assert (await locked.client.get(allowed, headers=bearer)).status_code == 200
    for template, method, address in _walk(locked, names):
        if template.startswith("/conversations/{conversation_id}/") and method == "GET":
            continue
        if template.endswith("/ask-message/") or _is_everyones(template):
            continue
        answer = await _answers(locked.client, method, address, bearer, template=template)
        expected = 403 if "/feedback/" not in template else 409 if method == "PUT" else 204
        assert answer.status_code == expected, (method, address)
    other = (await locked.client.post("/conversations/", headers=mine)).json()["id"]
    assert (await locked.client.get(f"/conversations/{other}/", headers=bearer)).status_code == 403
    elsewhere = (await _scene(locked, mine))["reply_id"]
    for method in ("PUT", "DELETE"):
        body = {"rating": "up"} if method == "PUT" else None
        answer = await locked.client.request(method, f"/replies/{elsewhere}/feedback/", json=body, headers=bearer)
        assert answer.status_code == 404
    assert (await locked.client.get(f"{path}?access_token={token}")).status_code == 401, "only where it must be"
    for bad in (token[:-1], token + "A", "ct_", "ct_.", "ct_bnVsbA.x", token.replace("ct_", "ct_A")):
        assert (await locked.client.get(path, headers={"Authorization": f"Bearer {bad}"})).status_code == 401


async def test_an_event_source_shows_its_token_in_the_address_and_no_log_does(
    locked: Gateway, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    _, mine = await keys.make()
    names = await _scene(locked, mine)
    path = f"/conversations/{names['conversation_id']}/"
    token = (await locked.client.post(f"{path}tokens/", headers=mine)).json()["token"]
    async with serving_gateway() as served:
        for address in (f"{path}events/", f"{path}turns/1/events/"):
            async with served.client.stream("GET", f"{address}?access_token={token}") as answer:
                assert answer.status_code == 200
                assert b"event:" in await anext(answer.aiter_raw())
        assert (await served.client.get(f"{path}events/?access_token={token}x")).status_code == 401
        key = mine["Authorization"].removeprefix("Bearer ")
        assert (await served.client.get(f"{path}events/?access_token={key}")).status_code == 401, "keys are no tokens"
    assert token not in caplog.text


async def test_a_token_expires(locked: Gateway, keys: Keys) -> None:
    _, mine = await keys.make()
    path = f"/conversations/{(await locked.client.post('/conversations/', headers=mine)).json()['id']}/"
    made = await locked.client.post(f"{path}tokens/", json={"expires_in_seconds": 0.001}, headers=mine)
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}

    async def has_expired() -> bool:
        return (await locked.client.get(path, headers=bearer)).status_code == 401

    await until(has_expired)


async def test_while_the_database_is_away_nobody_is_let_in_and_all_are_told_to_come_again(
    locked: Gateway, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, mine = await keys.make()

    async def fail(*_args: object, **_kwargs: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(locked.resources.authenticator, "_look_up", fail)
    for path in ("/conversations/", "/v1/conversations"):
        answer = await locked.client.get(path, headers=mine)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_a_server_that_asks_for_keys_does_not_start_without_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASYNCCHAT_AUTH", "keys")
    with pytest.raises(SystemExit, match="asyncchat keys create"):
        async with running_gateway():
            pass
