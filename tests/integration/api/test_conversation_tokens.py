"""A token for one conversation, as a browser holds it."""

from __future__ import annotations

import pytest

from tests.fixtures.waiting import until
from tests.integration.api.everything import ask_at, every_address, is_everyones, one_of_each
from tests.integration.api.gateway import Gateway
from tests.integration.api.key_making import Keys
from tests.integration.api.streaming import serving_gateway

pytestmark = pytest.mark.anyio


async def test_a_browsers_token_is_good_for_its_conversation_alone(locked: Gateway, keys: Keys) -> None:
    _, mine = await keys.make()
    names = await one_of_each(locked, mine)
    path = f"/conversations/{names['conversation_id']}/"
    made = await locked.client.post(f"{path}tokens/", json={"expires_in_seconds": 60}, headers=mine)
    assert made.status_code == 201
    token = made.json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    asked = await locked.client.post(f"{path}ask-message/", json={"content": "Hi"}, headers=bearer)
    assert asked.status_code == 202
    for allowed in (path, f"{path}messages/", f"{path}turns/1/"):
        assert (await locked.client.get(allowed, headers=bearer)).status_code == 200
    for template, method, address in every_address(locked, names):
        if template.startswith("/conversations/{conversation_id}/") and method == "GET":
            continue
        if template.endswith("/ask-message/") or is_everyones(template):
            continue
        answer = await ask_at(locked.client, method, address, bearer, template=template)
        expected = 403 if "/feedback/" not in template else 409 if method == "PUT" else 204
        assert answer.status_code == expected, (method, address)
    other = (await locked.client.post("/conversations/", headers=mine)).json()["id"]
    assert (await locked.client.get(f"/conversations/{other}/", headers=bearer)).status_code == 403
    elsewhere = (await one_of_each(locked, mine))["reply_id"]
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
    names = await one_of_each(locked, mine)
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
