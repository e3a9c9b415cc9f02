"""The gate of a server that asks for no key: its own machine may use it, and no web page from elsewhere."""

from __future__ import annotations

import httpx2
import pytest

from api.services.keys import make
from shared.api_keys import Scope
from shared.database.access import Database
from tests.integration.api.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio

HOME, ANYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104  Nothing listens in these tests.


@pytest.mark.parametrize(
    ("host", "auth_mode", "is_open"),
    [
        (HOME, None, True),
        ("::1", None, True),
        ("localhost", None, True),
        (ANYWHERE, None, False),
        ("10.0.0.7", None, False),
        (ANYWHERE, "open", True),
        (HOME, "keys", False),
    ],
)
async def test_it_is_open_at_home_only_unless_somebody_says_so(
    environment: pytest.MonkeyPatch, database: Database, host: str, *, auth_mode: str | None, is_open: bool
) -> None:
    await database.write(make, "somebody", name="test", scopes={Scope.READ}, expires_at=None, pepper="")
    environment.setenv("ASYNCCHAT_HOST", host)
    if auth_mode:
        environment.setenv("ASYNCCHAT_AUTH", auth_mode)
    async with running_gateway() as gateway:
        assert (await gateway.client.get("/conversations/")).status_code == (200 if is_open else 401)


async def test_what_comes_to_another_address_needs_a_key_whatever_the_server_was_told(gateway: Gateway) -> None:
    """As when uvicorn itself is told to listen everywhere."""
    transport = httpx2.ASGITransport(gateway.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://10.1.2.3:8000") as client:
        assert (await client.get("/conversations/")).status_code == 401
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.7"])
async def test_an_open_server_is_reached_by_its_own_names_and_addresses(gateway: Gateway, host: str) -> None:
    assert (await gateway.client.get("/conversations/", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", ""])
async def test_a_name_of_somebody_elses_leads_nowhere(gateway: Gateway, host: str) -> None:
    """A page of evil.example whose name was made to lead to this machine."""
    answer = await gateway.client.post("/conversations/", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_host")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000", "http://[", "file://"])
async def test_a_page_of_another_origin_gets_nothing(gateway: Gateway, origin: str) -> None:
    for method, path in (("POST", "/conversations/"), ("GET", "/conversations/"), ("POST", "/v1/responses")):
        headers = {"Origin": origin, "Content-Type": "text/plain"}
        answer = await gateway.client.request(method, path, headers=headers)
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_its_own_pages_may_use_it(gateway: Gateway) -> None:
    headers = {"Host": "localhost:8000", "Origin": "http://localhost:8000"}
    assert (await gateway.client.post("/conversations/", headers=headers)).status_code == 201


async def test_pages_of_an_origin_that_was_named_may_use_it(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASYNCCHAT_CORS_ORIGINS", "https://app.example, https://two.example")
    environment.setenv("ASYNCCHAT_ALLOWED_HOSTS", "chat.example")
    async with running_gateway() as gateway:
        headers = {"Origin": "https://app.example", "Host": "chat.example"}
        answer = await gateway.client.post("/conversations/", headers=headers)
        assert answer.status_code == 201
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]
        asked = {
            **headers,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "idempotency-key",
        }
        for wanted in ("idempotency-key", "authorization,x-stainless-lang,x-stainless-retry-count"):
            asked["Access-Control-Request-Headers"] = wanted
            assert (await gateway.client.options("/v1/responses", headers=asked)).status_code == 200
        foreign = await gateway.client.post("/conversations/", headers={**headers, "Origin": "https://evil.example"})
        assert foreign.status_code == 403
        assert "Access-Control-Allow-Origin" not in foreign.headers


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host"])
async def test_what_a_proxy_hands_on_needs_a_key_unless_somebody_says_otherwise(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    """Whoever reaches the proxy would use the server that is open to its own machine."""
    headers = {name: "203.0.113.9"}
    async with running_gateway() as gateway:
        for path, code in (("/conversations/", "forbidden_proxy"), ("/v1/models", "forbidden_proxy")):
            answer = await gateway.client.get(path, headers=headers)
            assert answer.status_code == 403
            assert code in answer.text
            assert "ASYNCCHAT_AUTH=keys" in answer.text
        assert (await gateway.client.get("/healthz", headers=headers)).status_code == 200
        assert (await gateway.client.get("/errors/forbidden_proxy", headers=headers)).status_code == 200
    environment.setenv("ASYNCCHAT_AUTH", "open")
    async with running_gateway() as gateway:
        assert (await gateway.client.get("/conversations/", headers=headers)).status_code == 200
