"""A client repeats what was not answered, with the same key and at the other gateway, until it is."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from cli.ports import free_port
from cli.verify import client as client_module
from cli.verify.client import Client, Unanswered
from cli.verify.history import History

pytestmark = pytest.mark.anyio


@dataclass
class Gateway:
    """Answers with one status after the other, and keeps the keys it was sent."""

    statuses: list[int]
    url: str = ""
    keys: list[str | None] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("Idempotency-Key"))
        return web.json_response({"path": request.path_qs}, status=self.statuses.pop(0))


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway([])
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gateway.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    gateway.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield gateway
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PAUSE_SECONDS", 0.01)


async def test_a_gateway_that_is_not_there_is_passed_over(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    gateway.statuses = [202]
    client = Client(session, [f"http://127.0.0.1:{free_port()}", gateway.url], History())
    answer = await client.post("/asks", {"n": 1}, key="one")
    assert (answer.status, answer.body) == (202, {"path": "/asks"})
    assert (gateway.keys, client.repeats) == (["one"], 1)


async def test_a_503_is_repeated_with_the_same_key(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    gateway.statuses = [503, 503, 202]
    history = History()
    answer = await Client(session, [gateway.url], history).post("/asks", {"n": 1}, key="one", wait=2.0)
    assert answer.body == {"path": "/asks?wait=2.000"}
    assert gateway.keys == ["one", "one", "one"]
    assert history.surprises == []


async def test_a_500_is_repeated_and_noted(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    gateway.statuses = [500, 200]
    history = History()
    await Client(session, [gateway.url], history).get("/replies/1/")
    assert [sentence.partition(":")[0] for sentence in history.surprises] == ["GET /replies/1/ was answered with 500"]


async def test_a_refusal_is_an_answer(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    gateway.statuses = [409]
    answer = await Client(session, [gateway.url], History()).post("/asks", {"n": 1}, key="one")
    assert (answer.status, answer.is_success, gateway.keys) == (409, False, ["one"])


async def test_patience_ends(session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PATIENCE_SECONDS", 0.5)
    client = Client(session, [f"http://127.0.0.1:{free_port()}"], History())
    with pytest.raises(Unanswered, match="POST /asks was not answered"):
        await client.post("/asks", {"n": 1}, key="one")
