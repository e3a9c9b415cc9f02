"""Server-sent events as bytes, and the answer that carries them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.live import sse
from api.live.sse import PING, EventStreamAnswer, OpenStreams, frame
from shared.messaging import reply_events
from shared.messaging.reply_events import Cursor

pytestmark = pytest.mark.anyio

Tell = Callable[[bytes], Awaitable[None]]


def test_an_event_has_an_id_a_type_and_one_line_of_data() -> None:
    assert (
        frame("reply.delta", b'{"text":"a"}', event_id="2-1") == b'id: 2-1\nevent: reply.delta\ndata: {"text":"a"}\n\n'
    )


def test_an_event_without_a_place_has_no_id() -> None:
    assert frame("snapshot", b"{}") == b"event: snapshot\ndata: {}\n\n"


def test_text_with_line_ends_stays_on_one_line() -> None:
    event = reply_events.delta("reply_1", Cursor(2, 1), "a\nb\r\nc\rd\n\nevent: reply.completed\n\n")
    written = frame(event.kind, event.data, event_id=str(event.cursor))
    assert written.count(b"\n") == 4
    assert b"\r" not in written
    data = written.splitlines()[2].removeprefix(b"data: ")
    assert orjson.loads(data)["text"] == "a\nb\r\nc\rd\n\nevent: reply.completed\n\n"


def test_a_sign_of_life_is_a_comment_and_ends_no_event() -> None:
    assert PING.startswith(b":")
    assert PING.count(b"\n") == 1
    assert PING.endswith(b"\n")


class Client:
    """What a server would do for a client: pass on what is sent, and say when the client has gone."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


class Source:
    """Tells one chunk, then waits to be ended, or breaks."""

    def __init__(self, *, lasts: bool = False, breaks: bool = False) -> None:
        self.told = asyncio.Event()
        self._lasts = lasts
        self._breaks = breaks
        self._over = asyncio.Event()

    async def run(self, tell: Tell) -> None:
        await tell(b"event: a\ndata: 1\n\n")
        self.told.set()
        if self._breaks:
            raise RuntimeError("broken")
        if self._lasts:
            await self._over.wait()

    def end(self) -> None:
        self._over.set()


async def test_the_answer_is_safe_with_caches_and_proxies() -> None:
    client = Client()
    answer = EventStreamAnswer(Source(), streams=OpenStreams(1), headers={"Location": "/here/"})
    await answer({"type": "http", "method": "GET"}, client.receive, client.send)
    headers = dict(client.sent[0]["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"no-cache, no-transform"
    assert headers[b"x-accel-buffering"] == b"no"
    assert headers[b"location"] == b"/here/"
    assert b"content-length" not in headers
    assert client.body == b"event: a\ndata: 1\n\n"
    assert [message["more_body"] for message in client.sent[1:]] == [True, False]


async def test_who_hangs_up_ends_the_stream_and_frees_its_place() -> None:
    client, streams, source = Client(), OpenStreams(1), Source(lasts=True)
    answer = EventStreamAnswer(source, streams=streams)
    answering = asyncio.create_task(answer({"type": "http", "method": "GET"}, client.receive, client.send))
    await source.told.wait()
    assert streams.is_full
    client.gone.set()
    await answering
    assert not streams.is_full


async def test_a_stream_that_fails_frees_its_place_and_does_not_look_as_if_it_had_ended_well() -> None:
    client, streams = Client(), OpenStreams(1)
    answer = EventStreamAnswer(Source(breaks=True), streams=streams)
    with pytest.raises(RuntimeError, match="broken"):
        await answer({"type": "http", "method": "GET"}, client.receive, client.send)
    assert streams.count == 0
    assert client.sent[-1]["more_body"]


async def test_who_stops_reading_is_given_up_and_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "STALLED_SECONDS", 0.01)
    client, streams = Client(), OpenStreams(1)

    async def send(message: Message) -> None:
        await client.send(message)
        if message["type"] == "http.response.body":
            await client.gone.wait()

    answer = EventStreamAnswer(Source(lasts=True), streams=streams)
    with pytest.raises(ClientDisconnect):
        await answer({"type": "http", "method": "GET"}, client.receive, send)
    assert streams.count == 0
