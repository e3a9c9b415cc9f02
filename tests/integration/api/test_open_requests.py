"""What lasts: so many of one key at once, and no longer than the key is good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest

from api.entry import auth, open_requests
from api.services.keys import MadeKey, make
from shared.api_keys import ALL_SCOPES, Scope
from shared.clock import now_ms
from shared.database.access import Database
from shared.store import keys as keys_store
from tests.fixtures.waiting import BOUND_SECONDS, until
from tests.integration.api.streaming import ServedGateway, serving_gateway

pytestmark = pytest.mark.anyio

Headers = dict[str, str]
# Closing while an answer is cut is what a client sees of it.
CUT = (httpx2.RemoteProtocolError, httpx2.ReadError)


async def _new_key(database: Database, **values: Any) -> MadeKey:
    values = {"scopes": ALL_SCOPES, "expires_at": None, "tenant": "default", **values}
    return await database.write(make, values.pop("tenant"), name="test", pepper="", **values)


def _bearer(secret: str) -> Headers:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are looked up all the time."""
    monkeypatch.setattr(open_requests, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(auth, "BELIEVE_SECONDS", 0.0)


@pytest.fixture
async def locked(environment: pytest.MonkeyPatch, database: Database) -> AsyncIterator[ServedGateway]:
    """A gateway that asks for keys, and holds two requests of each."""
    await _new_key(database, tenant="somebody")
    environment.setenv("ASYNCCHAT_AUTH", "keys")
    environment.setenv("ASYNCCHAT_MAX_AT_ONCE_OF_KEY", "2")
    environment.setenv("ASYNCCHAT_MAX_AT_ONCE_OF_TENANT", "3")
    async with serving_gateway() as gateway:
        yield gateway


async def _asked(gateway: ServedGateway, headers: Headers) -> dict[str, Any]:
    body = {"message": {"content": "Hello"}}
    created = await gateway.client.post("/conversations/", json=body, headers=headers)
    reply: dict[str, Any] = created.json()["turn"]["replies"][0]
    return reply


@asynccontextmanager
async def _streaming(gateway: ServedGateway, path: str, headers: Headers) -> AsyncIterator[AsyncIterator[bytes]]:
    """The pieces of a stream that has begun."""
    async with (
        httpx2.AsyncClient(base_url=gateway.url, timeout=BOUND_SECONDS) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        pieces = answer.aiter_raw()
        await anext(pieces)
        yield pieces


async def _until_held(gateway: ServedGateway, made: MadeKey, count: int) -> None:
    async def is_so() -> bool:
        return len(gateway.resources.open_requests._of_key.get(made.row["id"], ())) == count

    await until(is_so)


async def _is_cut(pieces: AsyncIterator[bytes]) -> bool:
    try:
        async for _ in pieces:
            pass
    except CUT:
        return True
    return False


async def test_a_key_holds_so_many_and_a_place_is_free_when_one_ends(locked: ServedGateway, database: Database) -> None:
    made = await _new_key(database)
    mine, other = _bearer(made.secret), _bearer((await _new_key(database)).secret)
    reply = await _asked(locked, mine)
    path = f"{reply['url']}events/"
    async with AsyncExitStack() as held:
        await held.enter_async_context(_streaming(locked, path, mine))
        waiting = asyncio.create_task(locked.client.get(f"{reply['url']}?wait=50", headers=mine))
        await _until_held(locked, made, 2)
        refused = await locked.client.post("/conversations/", json={"message": {"content": "x"}}, headers=mine)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert refused.json()["code"] == "too_many_at_once"
        spoken = await locked.client.post("/v1/responses", json={"input": "Hi"}, headers=mine)
        assert (spoken.status_code, spoken.headers["x-should-retry"]) == (429, "true")
        assert (await locked.client.get("/models/", headers=other)).status_code == 200
        await held.enter_async_context(_streaming(locked, path, other))
        assert (await locked.client.get("/models/", headers=other)).status_code == 429, "the tenant has three"
        third = await _new_key(database)
        assert (await locked.client.get("/models/", headers=_bearer(third.secret))).status_code == 429
        assert third.row["id"] not in locked.resources.open_requests._of_key, "who was refused is not remembered"
        waiting.cancel()
        await _until_held(locked, made, 1)
        assert (await locked.client.get("/models/", headers=other)).status_code == 200
    replies = (await locked.client.get("/replies/", headers=mine)).json()["data"]
    assert [each["id"] for each in replies] == [reply["id"]], "what was refused asked nothing"


async def test_the_tokens_of_one_conversation_hold_no_more_than_some_tabs(
    locked: ServedGateway, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_requests, "MAX_OF_CONVERSATION", 1)
    mine = _bearer((await _new_key(database)).secret)
    path = f"/conversations/{(await _asked(locked, mine))['conversation_id']}/"
    token = _bearer((await locked.client.post(f"{path}tokens/", headers=mine)).json()["token"])
    async with _streaming(locked, f"{path}events/", token):
        assert (await locked.client.get(path, headers=token)).status_code == 429
        assert (await locked.client.get(path, headers=mine)).status_code == 200


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("how", ["here", "elsewhere", "expired"])
async def test_streams_and_waits_end_when_their_key_is_no_good_any_more(
    locked: ServedGateway, database: Database, how: str
) -> None:
    made = await _new_key(database)
    mine = _bearer(made.secret)
    reply = await _asked(locked, mine)
    async with _streaming(locked, f"{reply['url']}events/", mine) as pieces:
        waiting = asyncio.create_task(locked.client.get(f"{reply['url']}?wait=50", headers=mine))
        await _until_held(locked, made, 2)
        if how == "here":
            admin = _bearer((await _new_key(database)).secret)
            assert (await locked.client.delete(f"/keys/{made.row['id']}/", headers=admin)).status_code == 204
        elif how == "elsewhere":
            await database.write(keys_store.revoke, None, made.row["id"], now=now_ms())
        else:
            await database.write(keys_store.retire, made.row["id"], at=now_ms(), now=now_ms())
        assert await asyncio.wait_for(_is_cut(pieces), BOUND_SECONDS)
        answer = await asyncio.wait_for(waiting, BOUND_SECONDS)
        assert answer.json()["status"] == "queued", "the state that it knew while the key was good"
    assert (await locked.client.get(reply["url"], headers=mine)).status_code == 401


@pytest.mark.usefixtures("often")
async def test_openais_sdk_does_not_take_the_cut_for_the_end(
    locked: ServedGateway, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await _new_key(database)
    reply = await _asked(locked, _bearer(made.secret))
    path = f"/v1/responses/{reply['id'].replace('reply_', 'resp_')}?stream=true"
    async with _streaming(locked, path, _bearer(made.secret)) as pieces:
        await database.write(keys_store.revoke, None, made.row["id"], now=now_ms())
        assert await asyncio.wait_for(_is_cut(pieces), BOUND_SECONDS)
    assert " ERROR " not in capsys.readouterr().err


@pytest.mark.usefixtures("often")
async def test_a_browsers_token_dies_with_the_key_that_made_it_and_so_do_its_streams(
    locked: ServedGateway, database: Database
) -> None:
    made = await _new_key(database)
    path = f"/conversations/{(await _asked(locked, _bearer(made.secret)))['conversation_id']}/"
    token = (await locked.client.post(f"{path}tokens/", headers=_bearer(made.secret))).json()["token"]
    async with _streaming(locked, f"{path}events/?access_token={token}", {}) as pieces:
        await database.write(keys_store.revoke, None, made.row["id"], now=now_ms())
        assert await asyncio.wait_for(_is_cut(pieces), BOUND_SECONDS)
    assert (await locked.client.get(path, headers=_bearer(token))).status_code == 401


@pytest.mark.usefixtures("often")
async def test_a_tokens_streams_end_when_it_expires(locked: ServedGateway, database: Database) -> None:
    mine = _bearer((await _new_key(database)).secret)
    path = f"/conversations/{(await _asked(locked, mine))['conversation_id']}/"
    made = await locked.client.post(f"{path}tokens/", json={"expires_in_seconds": 1}, headers=mine)
    async with _streaming(locked, f"{path}events/?access_token={made.json()['token']}", {}) as pieces:
        assert await asyncio.wait_for(_is_cut(pieces), BOUND_SECONDS)


async def test_a_token_may_no_more_than_its_key(locked: ServedGateway, database: Database) -> None:
    full = _bearer((await _new_key(database)).secret)
    narrow = _bearer((await _new_key(database, scopes={Scope.WRITE})).secret)
    path = f"/conversations/{(await _asked(locked, full))['conversation_id']}/"
    token = _bearer((await locked.client.post(f"{path}tokens/", headers=narrow)).json()["token"])
    assert (await locked.client.get(path, headers=token)).status_code == 403
    asked = await locked.client.post(f"{path}ask-message/", json={"content": "Hi"}, headers=token)
    assert asked.status_code == 202
