"""Who has no key gets nothing, and nobody gets what is another tenant's, wherever it is asked for."""

from __future__ import annotations

import pytest

from shared.api_keys import Scope
from shared.clock import now_ms
from tests.integration.api.everything import FILES, MARK, ask_at, every_address, is_everyones, one_of_each
from tests.integration.api.gateway import Gateway
from tests.integration.api.key_making import Keys

pytestmark = pytest.mark.anyio


# What makes something of one's own, and names nothing that is there.
MAKING = {
    *("/conversations/", "/v1/conversations", "/v1/responses", "/v1/chat/completions"),
    *("/keys/", "/webhooks/", "/budgets/tenant/", "/budgets/each-end-user/"),
    "/budgets/end-users/{end_user:path}/",
}


async def test_without_a_good_key_nothing_is_to_be_had_anywhere(locked: Gateway, keys: Keys) -> None:
    _, mine = await keys.make()
    names = await one_of_each(locked, mine)
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
    for template, method, path in every_address(locked, names):
        for headers in bad:
            answer = await ask_at(locked.client, method, path, headers)
            if is_everyones(template):
                assert answer.status_code < 400 or template.startswith(FILES), (method, path)
                break
            assert answer.status_code == 401, (method, path, headers)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert answer.headers["X-Request-ID"]


async def test_another_tenants_things_are_not_there(locked: Gateway, keys: Keys) -> None:
    """Whatever names a thing of its own is 404, however it is asked for; whatever names none shows nothing of it."""
    _, mine = await keys.make("mine")
    _, other = await keys.make("other", scopes=frozenset({Scope.ADMIN}))
    names = await one_of_each(locked, mine)
    before = await locked.client.get(f"/conversations/{names['conversation_id']}/", headers=mine)
    assert MARK in before.text
    shown = {MARK, *(names[name] for name in names if name.endswith("_id"))}
    for template, method, path in every_address(locked, names):
        if is_everyones(template) or "{name" in template or (method == "PUT" and template in MAKING):
            continue
        if "{" in template:
            # Also where it would be waited for or listened to.
            for query in ("", "?wait=20", "?stream=true") if method == "GET" else ("", "?wait=20"):
                answer = await ask_at(locked.client, method, path + query, other, template=template)
                assert answer.status_code == 404, (method, path + query, answer.text)
        elif method == "GET":
            answer = await ask_at(locked.client, method, path, other)
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
    names = await one_of_each(locked, mine)
    elsewhere = (await locked.client.post("/conversations/", headers=mine)).json()["id"]
    made = await locked.client.post(f"/conversations/{elsewhere}/tokens/", headers=mine)
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    for template, method, path in every_address(locked, names):
        if not is_everyones(template):
            answer = await ask_at(locked.client, method, path, bearer, template=template)
            # What a token may do by the id of a reply, it may in its own conversation.
            assert answer.status_code == (404 if template.endswith("/feedback/") else 403), (method, path)
        if template.endswith("/events/"):
            answer = await locked.client.get(f"{path}?access_token={made.json()['token']}")
            assert answer.status_code == 403, path


@pytest.mark.parametrize("scope", Scope)
async def test_a_key_is_good_for_its_scope_and_no_more(locked: Gateway, keys: Keys, scope: Scope) -> None:
    _, mine = await keys.make()
    names = await one_of_each(locked, mine)
    _, narrow = await keys.make(scopes=frozenset({scope}))
    for template, method, path in every_address(locked, names):
        if is_everyones(template):
            continue
        if template.startswith(("/keys", "/webhooks", "/workers", "/operations", "/usage")):
            allowed = scope is Scope.ADMIN
        elif method == "GET":
            allowed = scope in {Scope.READ, Scope.ADMIN}
        else:
            allowed = scope in {Scope.WRITE, Scope.ADMIN}
        if allowed:
            continue
        answer = await ask_at(locked.client, method, path, narrow)
        assert answer.status_code == 403, (method, path)
        code = answer.json()["error"]["code"] if path.startswith("/v1") else answer.json()["code"]
        assert code == ("insufficient_permissions" if path.startswith("/v1") else "forbidden")
