"""What a connection may cost: bodies that trickle, answers that nobody reads, requests sent ahead, too many at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api import http_protocol, json_body
from tests.fixtures.waiting import BOUND_SECONDS, eventually, until
from tests.integration.api.streaming import ServedGateway

pytestmark = pytest.mark.anyio

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
POST = b"POST /conversations/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%b\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"


@asynccontextmanager
async def connected(gateway: ServedGateway) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes."""
    try:
        return await asyncio.wait_for(reader.read(), BOUND_SECONDS)
    except ConnectionError:
        return b""


async def head_of(reader: asyncio.StreamReader) -> bytes:
    """The head of an answer."""
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), BOUND_SECONDS)


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    """One answer, of which the server says how long it is."""
    head = await head_of(reader)
    size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return head + await asyncio.wait_for(reader.readexactly(size), BOUND_SECONDS)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads a body waits for it for a moment only, and who has its answer may send for a moment longer."""
    monkeypatch.setattr(json_body, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(http_protocol, "LINGER_SECONDS", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", [b"Content-Length: 1000", CHUNKED])
async def test_a_body_that_trickles_is_refused_in_words_and_the_connection_closed(
    streams: ServedGateway, how: bytes
) -> None:
    async with connected(streams) as (reader, writer):
        writer.write(POST % how)
        trickling = asyncio.create_task(_trickle(writer, b"1\r\n \r\n" if how == CHUNKED else b" "))
        answer = await answer_of(reader)
        await rest(reader)
        trickling.cancel()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"request_timeout"' in answer
    assert (await streams.client.get("/conversations/")).json()["data"] == []


async def _trickle(writer: asyncio.StreamWriter, piece: bytes) -> None:
    while not writer.is_closing():
        writer.write(piece)
        await asyncio.sleep(0.02)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", [b"/healthz", b"/nowhere", b"/conversations/"])
async def test_a_body_that_nobody_reads_keeps_no_connection(streams: ServedGateway, path: bytes) -> None:
    async with connected(streams) as (reader, writer):
        writer.write(GET % (path, b"Content-Length: 1000\r\n"))
        trickling = asyncio.create_task(_trickle(writer, b" "))
        assert (await answer_of(reader)).startswith(b"HTTP/1.1 ")
        await rest(reader)
        trickling.cancel()


async def test_a_stream_whose_request_never_ends_is_cut(streams: ServedGateway) -> None:
    turn = await streams.ask(await streams.new_conversation())
    path = f"{turn['replies'][0]['url']}events/".encode()
    async with connected(streams) as (reader, writer):
        writer.write(GET % (path, b"Content-Length: 1000\r\n"))
        assert b" 200 " in await head_of(reader)
        streams.let_time_pass()
        await rest(reader)
    await _until_no_streams(streams)


async def _until_no_streams(gateway: ServedGateway) -> None:
    async def is_so() -> bool:
        return gateway.resources.streams.count == 0

    await until(is_so)


async def test_what_comes_after_its_answer_is_complete_is_answered_on_the_same_connection(
    streams: ServedGateway,
) -> None:
    async with connected(streams) as (reader, writer):
        writer.write(GET % (b"/healthz", b"Content-Length: 3\r\n"))
        assert b" 200 " in await head_of(reader)
        writer.write(b"abc" + GET % (b"/nowhere", b"Connection: close\r\n"))
        assert b"HTTP/1.1 404 " in await rest(reader)


async def test_empty_lines_are_no_life(streams: ServedGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(streams) as (reader, writer):
        await eventually(lambda: len(streams.connections) == 1)
        # From now on: how long the first request takes is nobody's concern.
        monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
        writer.write(GET % (b"/healthz", b""))
        assert b" 200 " in await head_of(reader)
        trickling = asyncio.create_task(_trickle(writer, b"\r\n"))
        body = b'{"status":"ok"}'
        await reader.readexactly(len(body))
        assert (await answer_of(reader)).startswith(b"HTTP/1.1 408 ")
        trickling.cancel()


@pytest.mark.parametrize("late", [b"", b"abc"], ids=["answered at its end", "answered before its end"])
async def test_one_without_a_request_is_kept_for_longer_than_a_head_may_take(
    streams: ServedGateway, monkeypatch: pytest.MonkeyPatch, late: bytes
) -> None:
    """Its client may be about to use it again, and would not know whether a POST was heard."""
    async with connected(streams) as (reader, writer):
        writer.write(GET % (b"/healthz", b"Content-Length: %d\r\n" % len(late)))
        assert b" 200 " in await answer_of(reader)
        writer.write(late)
        monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.1)
        async with connected(streams) as (silent, _):
            assert b" 408 " in await rest(silent)
        writer.write(GET % (b"/healthz", b"Connection: close\r\n"))
        assert b" 200 " in await rest(reader)


async def test_one_without_a_request_is_closed_at_last_without_a_word(
    streams: ServedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "IDLE_SECONDS", 0.1)
    async with connected(streams) as (reader, writer):
        writer.write(GET % (b"/healthz", b""))
        assert b" 200 " in await answer_of(reader)
        assert await rest(reader) == b""


async def test_requests_sent_ahead_are_answered_in_order_and_only_a_few_wait(streams: ServedGateway) -> None:
    async with connected(streams) as (reader, writer):
        writer.write(GET % (b"/healthz", b"") * 5 + GET % (b"/nowhere", b"Connection: close\r\n"))
        answers = await rest(reader)
        assert (answers.count(b"HTTP/1.1 200 "), answers.count(b"HTTP/1.1 404 ")) == (5, 1)
    async with connected(streams) as (reader, writer):
        writer.write(GET % (b"/healthz", b"") * 10_000)
        assert (await rest(reader)).count(b"HTTP/1.1 200 ") < 100
    assert (await streams.client.get("/healthz")).status_code == 200


async def test_who_hangs_up_with_a_request_sent_ahead_leaves_no_stream_behind(streams: ServedGateway) -> None:
    turn = await streams.ask(await streams.new_conversation())
    path = f"{turn['replies'][0]['url']}events/".encode()
    async with connected(streams) as (reader, writer):
        writer.write(GET % (path, b"") + GET % (b"/healthz", b""))
        assert b" 200 " in await head_of(reader)
        assert streams.resources.streams.count == 1
        writer.transport.abort()
    await _until_no_streams(streams)


async def test_a_broken_request_behind_a_stream_writes_nothing_into_it(streams: ServedGateway) -> None:
    turn = await streams.ask(await streams.new_conversation())
    path = f"{turn['replies'][0]['url']}events/".encode()
    async with connected(streams) as (reader, writer):
        writer.write(GET % (path, b""))
        assert b" 200 " in await head_of(reader)
        writer.write(b"nonsense\r\n\r\n")
        assert b"HTTP/1.1" not in await rest(reader)
    await _until_no_streams(streams)


async def test_what_follows_a_body_is_no_header(streams: ServedGateway) -> None:
    async with connected(streams) as (reader, writer):
        writer.write(POST % CHUNKED + b"2\r\n{}\r\n0\r\nX-Request-ID: smuggled\r\nOrigin: https://evil.example\r\n\r\n")
        head = await head_of(reader)
    assert head.startswith(b"HTTP/1.1 201 ")
    assert b"smuggled" not in head


async def test_an_answer_that_nobody_reads_is_given_up(streams: ServedGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "UNREAD_SECONDS", 0.2)
    conversation_id = await streams.new_conversation()
    path = f"/conversations/{conversation_id}/messages/"
    for _ in range(100):
        body = {"role": "user", "content": "x" * 190_000}
        assert (await streams.client.post(path, json=body)).status_code == 201
    async with connected(streams) as (reader, writer):
        writer.write(GET % (f"{path}?limit=100".encode(), b""))
        await head_of(reader)
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # nobody reads

        async def is_gone() -> bool:
            return len(streams.connections) == 1

        await until(is_gone)


async def test_where_there_is_no_room_the_longest_without_a_request_makes_it(
    streams: ServedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = await streams.ask(await streams.new_conversation())
    path = f"{turn['replies'][0]['url']}events/".encode()
    monkeypatch.setattr(http_protocol.BoundedHttp, "_idle", {})
    monkeypatch.setattr(http_protocol.BoundedHttp, "most_connections", 3)
    # The test's own client has one, which is not among the idle ones any more.
    async with connected(streams) as (streaming, writer), connected(streams) as (idle, _):
        writer.write(GET % (path, b""))
        assert b" 200 " in await head_of(streaming)
        async with connected(streams) as (newcomer, asking):
            asking.write(GET % (path, b""))
            assert b" 200 " in await head_of(newcomer)
            assert await rest(idle) == b""
            async with connected(streams) as (refused, _):
                answer = await rest(refused)
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"retry-after: 1" in answer
    await _until_no_streams(streams)
