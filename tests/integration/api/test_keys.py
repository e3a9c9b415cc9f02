"""Keys: how they are made and taken back, and what becomes of requests meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from api.entry import auth
from shared.api_keys import Scope
from shared.errors import StorageUnavailable
from tests.integration.api.everything import one_of_each
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway
from tests.integration.api.key_making import Keys

pytestmark = pytest.mark.anyio


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
        await one_of_each(locked, headers)
    claimed = await worker.claim()
    assert {claim.tenant_id for claim in claimed} == {"one", "two"}


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
