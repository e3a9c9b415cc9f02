"""A request that asks for another protocol is answered as what it is: some clients always ask, as Java's does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx2
import pytest

from tests.fixtures.databases import Databases
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import BOUND_SECONDS
from tests.integration.api.serving import Served, served_gateway

pytestmark = pytest.mark.anyio

BODY = b'{"title": "Ada"}'
POST = (
    b"POST /conversations/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
)
WHOLE = POST + b"Content-Length: 16\r\n\r\n" + BODY
CHUNKS = POST + b"Transfer-Encoding: chunked\r\n\r\n10\r\n" + BODY + b"\r\n0\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def served(databases: Databases, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("protocols")
    with served_gateway(databases.new(folder), shared_valkey.url, folder / "gateway.log") as process:
        yield process


async def answers(served: Served, *pieces: bytes, count: int) -> list[bytes]:
    """So many answers, without their bodies, to what is sent piece by piece."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.transport.set_write_buffer_limits(0)
    heads = []
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            for _ in range(count):
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(int(heads[-1].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
    finally:
        writer.transport.abort()
    return [head.partition(b"\r\n")[0] for head in heads]


@pytest.mark.parametrize("request_bytes", [WHOLE, CHUNKS])
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_its_body_is_read(request_bytes: bytes, size: int, served: Served) -> None:
    """However it comes, and as many as come at once."""
    sent = 2 * request_bytes + GET
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
    got = await answers(served, *pieces, count=3)
    assert got == [b"HTTP/1.1 201 Created"] * 2 + [b"HTTP/1.1 200 OK"]
    with httpx2.Client(base_url=served.url) as client:
        assert [each["title"] for each in client.get("/conversations/?limit=2").json()["data"]] == ["Ada"] * 2
    assert "WARNING" not in served.log()


async def test_what_has_no_body_is_answered_too(served: Served) -> None:
    asked = GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert await answers(served, asked + asked + GET, count=3) == [b"HTTP/1.1 200 OK"] * 3
