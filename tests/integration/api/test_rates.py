"""So many requests in a while, for each key, on all gateways together."""

from __future__ import annotations

import time
from contextlib import nullcontext

import httpx2
import pytest

from api.entry import rates
from api.entry.rates import Kind
from api.services.keys import make
from shared.api_keys import ALL_SCOPES
from shared.database.access import Database
from shared.messaging.redis_client import SOCKET_TIMEOUT_SECONDS
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.integration.api.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio

WARNING = "each gateway counts requests by itself"


async def _key(database: Database, tenant: str = "default") -> dict[str, str]:
    """The header that shows a new key."""
    made = await database.write(make, tenant, name="test", scopes=ALL_SCOPES, expires_at=None, pepper="")
    return {"Authorization": f"Bearer {made.secret}"}


async def _create(gateway: Gateway, headers: dict[str, str] | None = None) -> httpx2.Response:
    return await gateway.client.post("/conversations/", headers=headers)


@pytest.fixture
def limited(environment: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Settings of a gateway where a day has three writes; gateways tell often."""
    monkeypatch.setattr(rates, "TELL_SECONDS", 0.02)
    environment.setenv("ASYNCCHAT_WRITE_RATE", "3/day")
    return environment


async def test_each_key_sends_so_many_and_is_told_when_there_is_room_again(
    limited: pytest.MonkeyPatch, database: Database
) -> None:
    limited.setenv("ASYNCCHAT_AUTH", "keys")
    mine, other = await _key(database), await _key(database)
    async with running_gateway() as gateway:
        for remaining in (2, 1, 0):
            answer = await _create(gateway, mine)
            assert answer.status_code == 201
            assert answer.headers["RateLimit-Policy"] == '"writes";q=3;w=86400'
            assert answer.headers["RateLimit"].startswith(f'"writes";r={remaining};t=')
        refused = await _create(gateway, mine)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["RateLimit"].startswith('"writes";r=0;t=')
        explained = (await gateway.client.get(refused.json()["type"])).json()
        assert (explained["status"], "Retry-After" in explained["cure"]) == (429, True)
        assert (await _create(gateway, other)).status_code == 201, "another key has its own"
        reading = await gateway.client.get("/conversations/", headers=mine)
        assert (reading.status_code, len(reading.json()["data"])) == (200, 4), "what was refused made nothing"
        assert "RateLimit" not in reading.headers, "reading has no rate here"


async def test_openais_sdk_is_told_in_its_own_words(limited: pytest.MonkeyPatch) -> None:
    limited.setenv("ASYNCCHAT_WRITE_RATE", "1/day")
    async with running_gateway() as gateway:
        body = {"input": "Hi", "background": True}
        answer = await gateway.client.post("/v1/responses", json=body)
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        refused = await gateway.client.post("/v1/responses", json=body)
        assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "true")
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused.headers["Retry-After"]


async def test_gateways_count_together(limited: pytest.MonkeyPatch, database: Database) -> None:
    limited.setenv("ASYNCCHAT_AUTH", "keys")
    limited.setenv("ASYNCCHAT_WRITE_RATE", "50/day")
    mine = await _key(database)
    async with running_gateway() as first, running_gateway() as second:
        for _ in range(40):
            assert (await _create(first, mine)).status_code == 201

        async def is_known() -> bool:
            return int((await _create(second, mine)).headers["RateLimit"].split(";")[1].removeprefix("r=")) < 10

        await until(is_known)
        let_in = 0
        while (await _create(second, mine)).status_code == 201:
            let_in += 1
        assert let_in < 10


async def test_a_browsers_token_uses_up_nothing_of_its_keys(limited: pytest.MonkeyPatch, database: Database) -> None:
    limited.setenv("ASYNCCHAT_AUTH", "keys")
    mine = await _key(database)
    async with running_gateway() as gateway:
        path = f"/conversations/{(await _create(gateway, mine)).json()['id']}/"
        token = (await gateway.client.post(f"{path}tokens/", headers=mine)).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        codes = [
            (await gateway.client.post(f"{path}ask-message/", json={"content": "Hi"}, headers=bearer)).status_code
            for _ in range(5)
        ]
        assert codes == [202, 202, 202, 429, 429]
        assert (await _create(gateway, mine)).status_code == 201


async def test_an_open_gateway_counts_by_address_and_what_is_for_everybody_is_not_counted(
    limited: pytest.MonkeyPatch,
) -> None:
    limited.setenv("ASYNCCHAT_READ_RATE", "2/day")
    async with running_gateway() as gateway:
        for _ in range(5):
            assert (await gateway.client.get("/healthz")).status_code == 200
        codes = [(await gateway.client.get("/models/")).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        transport = httpx2.ASGITransport(gateway.app, client=("10.0.0.9", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get("/models/")).status_code == 200


async def test_without_a_rate_nothing_is_counted(gateway: Gateway) -> None:
    answer = await _create(gateway)
    assert "RateLimit" not in answer.headers
    assert gateway.resources.rates.take("anybody", Kind.WRITES) is None


@pytest.mark.parametrize("is_frozen", [True, False])
async def test_without_redis_a_gateway_counts_by_itself_waits_for_nothing_and_warns_once(
    limited: pytest.MonkeyPatch, valkey: Valkey, capsys: pytest.CaptureFixture[str], *, is_frozen: bool
) -> None:
    limited.setenv("REDIS_URL", valkey.url)
    limited.setenv("ASYNCCHAT_WRITE_RATE", "20/day")
    async with running_gateway() as gateway:
        if not is_frozen:
            valkey.kill()
        with valkey.frozen() if is_frozen else nullcontext():
            began = time.monotonic()
            codes = [(await _create(gateway)).status_code for _ in range(25)]
            assert codes == [201] * 20 + [429] * 5
            assert time.monotonic() - began < 25 * SOCKET_TIMEOUT_SECONDS, "no request waited for Redis"

            said = ""

            async def has_warned() -> bool:
                nonlocal said
                said += capsys.readouterr().err
                return WARNING in said

            await until(has_warned)
            for _ in range(3):
                await _create(gateway)
        said += capsys.readouterr().err
        assert said.count(WARNING) == 1
