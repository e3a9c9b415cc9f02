"""The head of a request is bounded, in size and in time, before anything looks at it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from api import http_protocol
from tests.fixtures.databases import Databases
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import BOUND_SECONDS, eventually
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
        received = served.answer_to(head)
        assert received.startswith(b"HTTP/1.1 431 ") or not received
        assert served.is_well()
        assert "Traceback" not in served.log()


async def test_one_of_usual_size_passes(streams: ServedGateway) -> None:
    headers = {"X-Long": "x" * 30_000}
    assert (await streams.client.get("/healthz", headers=headers)).status_code == 200
    for _ in range(3):
        assert (await streams.client.post("/conversations/", headers=headers)).status_code == 201


@pytest.mark.parametrize("size", [1, 1000, 30_000])
async def test_one_of_usual_size_passes_in_pieces(streams: ServedGateway, size: int) -> None:
    head = b"GET /healthz HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(40))
    head = (head if size > 1 else head[:3000] + b"\r\n") + b"Connection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(streams.url.rpartition(":")[2]))
    for start in range(0, len(head), size):
        writer.write(head[start : start + size])
        await writer.drain()
        await asyncio.sleep(0)
    received = await asyncio.wait_for(reader.read(), BOUND_SECONDS)
    assert received.startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_large_body_before_the_next_head_does_not_count(streams: ServedGateway) -> None:
    body = b'{"message": {"content": "' + b"x" * 90_000 + b'"}}'
    head = b"POST /conversations/ HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    first = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    second = b"GET /healthz HTTP/1.1\r\nHost: loc"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(streams.url.rpartition(":")[2]))
    writer.write(first + second)
    assert (await asyncio.wait_for(reader.readline(), BOUND_SECONDS)).startswith(b"HTTP/1.1 201 ")
    writer.write(b"alhost\r\nConnection: close\r\n\r\n")
    assert b"HTTP/1.1 200 " in await asyncio.wait_for(reader.read(), BOUND_SECONDS)
    writer.close()


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


async def test_what_takes_long_after_its_head_is_not_cut_off(streams: ServedGateway) -> None:
    turn = await streams.ask(await streams.new_conversation())
    path = turn["replies"][0]["url"]
    waiting = asyncio.create_task(streams.client.get(f"{path}?wait=30"))
    await eventually(lambda: streams.resources.hub.watched)
    streams.let_time_pass()
    assert (await streams.client.post(f"{path}cancel/")).status_code == 200
    assert (await waiting).status_code == 200
