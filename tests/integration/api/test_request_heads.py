"""The head of a request is bounded, in size and in time, before anything looks at it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from api import http_protocol
from tests.fixtures.databases import Databases
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import BOUND_SECONDS
from tests.integration.api.serving import served_gateway
from tests.integration.api.streaming import ServedGateway

pytestmark = pytest.mark.anyio

HOST = b"Host: localhost\r\n"
LONG = b"x" * http_protocol.MAX_HEAD_BYTES


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"A: " + LONG + b"\r\n\r\n", id="one header"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 20_000 + b"\r\n", id="many headers"),
        pytest.param(b"GET /healthz?" + LONG + b" HTTP/1.1\r\n" + HOST + b"\r\n", id="the address"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + b"A: " + LONG * 40, id="a header without an end"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + HOST + LONG * 40, id="a name without an end"),
    ],
)
def test_one_that_is_too_large_is_refused(
    databases: Databases, shared_valkey: Valkey, tmp_path: Path, *, head: bytes
) -> None:
    with served_gateway(databases.new(tmp_path), shared_valkey.url, tmp_path / "gateway.log") as served:
        with socket.create_connection(("127.0.0.1", served.port), timeout=BOUND_SECONDS) as connection:
            received = b""
            try:
                connection.sendall(head)
                while piece := connection.recv(65_536):
                    received += piece
            except ConnectionError:
                pass  # It was closed before all was sent.
        assert received.startswith(b"HTTP/1.1 431 ") or not received
        assert b"HTTP/1.1 200 " in served.exchange(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert "Traceback" not in served.log()


async def test_one_of_usual_size_passes(streams: ServedGateway) -> None:
    headers = {"X-Long": "x" * 30_000}
    assert (await streams.client.get("/healthz", headers=headers)).status_code == 200
    for _ in range(3):
        assert (await streams.client.post("/conversations/", headers=headers)).status_code == 201


@pytest.mark.parametrize("begun", [b"", b"GET /healthz HTTP/1.1\r\nHost: loc"])
async def test_one_that_does_not_come_is_not_waited_for(
    streams: ServedGateway, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(streams.url.rpartition(":")[2]))
    writer.write(begun)
    received = await asyncio.wait_for(reader.read(), BOUND_SECONDS)
    assert received.startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_what_takes_long_after_its_head_is_not_cut_off(
    streams: ServedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.1)
    turn = await streams.ask(await streams.new_conversation())
    answer = await streams.client.get(f"{turn['replies'][0]['url']}?wait=0.5")
    assert answer.status_code == 200
