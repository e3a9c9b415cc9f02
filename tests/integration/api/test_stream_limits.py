"""What streams may cost: how many, how long, how much for those who read slowly or have gone."""

from __future__ import annotations

import asyncio
import http.client
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.live import hub as hub_module
from shared.database.access import Database
from shared.messaging.reply_events import LogBounds
from tests.fixtures.event_stream import EventReader, Transcript, listening, parse
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import BOUND_SECONDS, until
from tests.integration.api.serving import Served, served_gateway
from tests.integration.api.streaming import ServedGateway, StreamingWorker, serving_gateway, streaming_worker

pytestmark = pytest.mark.anyio

EVENTS = {"Accept": "text/event-stream"}
SLOW_READERS = 20
# What each of them leaves unread; far more in all than the gateway may keep for them.
PIECE, PIECES = "0123456789" * 400, 2500
AT_ONCE = 20
MAY_GROW_MIB = 75


async def _asked(gateway: ServedGateway) -> dict[str, Any]:
    turn = await gateway.ask(await gateway.new_conversation())
    reply: dict[str, Any] = turn["replies"][0]
    return reply


async def _until_served(gateway: ServedGateway, count: int) -> None:
    async def is_so() -> bool:
        return gateway.resources.streams.count == count

    await until(is_so)


async def _until_more_comments(stream: EventReader) -> None:
    seen = stream.comments

    async def is_so() -> bool:
        return stream.comments > seen

    await until(is_so)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life come all the time."""
    monkeypatch.setattr(hub_module, "PING_SECONDS", 0.1)


@pytest.mark.usefixtures("often")
async def test_a_silent_stream_shows_signs_of_life_that_are_no_events(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    reply = await _asked(streams)
    async with streams.client.stream("GET", f"{reply['url']}events/") as answer:
        received = b""
        pieces = answer.aiter_raw()
        while received.count(b": ping\n") < 3:
            received += await anext(pieces)
        assert b": ping\n: ping\n" in received, "one line each, and no empty line"
    async with listening(streams.client, f"{reply['url']}events/") as stream:
        await stream.expect("reply.queued")
        speaker = await speaking.speak(reply["id"])
        await stream.expect("reply.started")
        for word in ("Hello", ", ", "Ada"):
            waiting = asyncio.create_task(stream.expect("reply.delta"))
            await _until_more_comments(stream)
            speaker.say(word)
            assert (await waiting).data["text"] == word


async def test_there_are_only_so_many_streams_and_a_place_is_free_when_one_ends(
    environment: pytest.MonkeyPatch, speaking: StreamingWorker
) -> None:
    environment.setenv("ASYNCCHAT_MAX_STREAMS", "2")
    async with serving_gateway() as gateway:
        reply = await _asked(gateway)
        path = f"{reply['url']}events/"
        async with listening(gateway.client, path) as first:
            await first.expect("reply.queued")
            async with listening(gateway.client, path) as second:
                await second.expect("reply.queued")
                conversation_path = f"/conversations/{reply['conversation_id']}"
                for refused in (path, f"{conversation_path}/turns/1/events/", f"{conversation_path}/events/"):
                    answer = await gateway.client.get(refused)
                    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_streams")
                    assert int(answer.headers["Retry-After"]) > 0
                assert (await gateway.client.get(reply["url"])).status_code == 200
            await _until_served(gateway, 1)
            async with listening(gateway.client, path) as third:
                await third.expect("reply.queued")
                await (await speaking.speak(reply["id"])).complete()
                await first.rest()
                await third.rest()
        await _until_served(gateway, 0)


async def test_an_ask_for_whose_stream_there_is_no_room_asks_nothing(environment: pytest.MonkeyPatch) -> None:
    """It would be asked twice when it is sent again."""
    environment.setenv("ASYNCCHAT_MAX_STREAMS", "1")
    async with serving_gateway() as gateway:
        reply = await _asked(gateway)
        async with listening(gateway.client, f"{reply['url']}events/") as stream:
            await stream.expect("reply.queued")
            conversation_id = await gateway.new_conversation()
            path = f"/conversations/{conversation_id}/ask-message/"
            refused = await gateway.client.post(path, json={"content": "Hello"}, headers=EVENTS)
            assert refused.status_code == 503
            assert (await gateway.get(f"/conversations/{conversation_id}/"))["messages"] == []
            assert (await gateway.client.post(path, json={"content": "Hello"})).status_code == 202


@pytest.mark.usefixtures("often")
async def test_a_long_stream_is_ended_where_it_can_be_resumed(
    environment: pytest.MonkeyPatch, speaking: StreamingWorker
) -> None:
    environment.setenv("ASYNCCHAT_STREAM_SECONDS", "0.3")
    async with serving_gateway() as gateway:
        reply = await _asked(gateway)
        path = f"{reply['url']}events/"
        speaker = await speaking.speak(reply["id"])
        shown, after = Transcript(), None
        for word in ("Hello", ", ", "Ada"):
            speaker.say(word)
            async with listening(gateway.client, path, after=after) as stream:
                for told in await stream.rest():
                    shown.take(told)
                after = stream.last_id
            assert shown.ended is None
        await speaker.complete()
        async with listening(gateway.client, path, after=after) as stream:
            for told in await stream.rest():
                shown.take(told)
        assert shown.ended
        assert (shown.text, shown.snapshots) == ("Hello, Ada", 0)


async def test_who_hangs_up_costs_nothing_any_more(streams: ServedGateway) -> None:
    reply = await _asked(streams)
    for path in (f"{reply['url']}events/", f"/conversations/{reply['conversation_id']}/events/"):
        async with streams.client.stream("GET", path) as answer:
            await anext(answer.aiter_raw())
            assert streams.resources.streams.count == 1
            assert streams.resources.hub.watched > 0
        await _until_served(streams, 0)
        assert streams.resources.hub.watched == 0


async def test_a_head_gets_the_headers_and_no_stream(streams: ServedGateway) -> None:
    reply = await _asked(streams)
    for path in (f"{reply['url']}events/", f"/conversations/{reply['conversation_id']}/events/"):
        for _ in range(2):
            answer = await asyncio.wait_for(streams.client.head(path), BOUND_SECONDS)
            assert answer.status_code == 200
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert answer.content == b""
        await _until_served(streams, 0)


async def test_on_sigterm_streams_end_at_once_where_they_can_be_resumed(
    database_url: str, shared_valkey: Valkey, tmp_path: Path, *, streams: ServedGateway, speaking: StreamingWorker
) -> None:
    reply = await _asked(streams)
    path = f"{reply['url']}events/"
    shown = Transcript()
    with ExitStack() as stack:
        # In a thread, since it takes its time, and a loop that does not turn is taken for stuck.
        gateway = served_gateway(database_url, shared_valkey.url, tmp_path / "gateway.log")
        served = await asyncio.to_thread(stack.enter_context, gateway)
        async with (
            httpx2.AsyncClient(base_url=served.url, timeout=BOUND_SECONDS) as client,
            listening(client, path) as stream,
        ):
            speaker = await speaking.speak(reply["id"])
            speaker.say("Hello")
            while shown.text != "Hello":
                told = await stream.next()
                assert told is not None
                shown.take(told)
            served.process.send_signal(signal.SIGTERM)
            assert await stream.rest() == []
            after = stream.last_id
        await asyncio.to_thread(served.process.wait, BOUND_SECONDS)
        assert "Traceback" not in served.log()
    speaker.say(", Ada")
    await speaker.complete()
    async with listening(streams.client, path, after=after) as stream:
        for told in await stream.rest():
            shown.take(told)
    assert (shown.text, shown.snapshots) == ("Hello, Ada", 0)


class SlowReader:
    """A client that asks for a stream and lets it wait."""

    def __init__(self, served: Served, path: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", served.port))
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def read_all(self) -> bytes:
        """What was waiting, and what comes after it."""
        self._socket.settimeout(BOUND_SECONDS)
        with http.client.HTTPResponse(self._socket) as answer:
            answer.begin()
            return answer.read()

    def close(self) -> None:
        self._socket.close()


def _resident_mib(process: subprocess.Popen[bytes]) -> float:
    said = subprocess.run(["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, text=True, check=True)
    return int(said.stdout) / 1024


def _shown(received: bytes) -> Transcript:
    shown = Transcript()
    for told in parse(received):
        shown.take(told)
    return shown


async def test_readers_that_do_not_read_cost_a_bounded_amount_and_get_the_exact_text_in_the_end(
    database_url: str, database: Database, valkey: Valkey, *, tmp_path: Path
) -> None:
    with served_gateway(database_url, valkey.url, tmp_path / "gateway.log") as served:
        async with (
            httpx2.AsyncClient(base_url=served.url, timeout=BOUND_SECONDS) as client,
            streaming_worker(database, valkey.client_url, bounds=LogBounds(events=100, seconds=600)) as speaking,
        ):
            body = {"message": {"content": "Hello"}}
            reply = (await client.post("/conversations/", json=body)).json()["turn"]["replies"][0]
            path = f"{reply['url']}events/"
            before = _resident_mib(served.process)
            readers = [SlowReader(served, path) for _ in range(SLOW_READERS)]
            speaker = await speaking.speak(reply["id"])
            async with listening(client, path) as quick:
                shown = Transcript()
                for _ in range(PIECES // AT_ONCE):
                    speaker.say(*[PIECE] * AT_ONCE)
                    while len(shown.text) < len(speaker.stream.sent_text):
                        told = await quick.next()
                        assert told is not None
                        shown.take(told)
                assert shown.text == PIECE * PIECES
                assert _resident_mib(served.process) - before < MAY_GROW_MIB
                await speaker.complete()
                await quick.rest()
            late = await asyncio.to_thread(readers[0].read_all)
            for reader in readers:
                reader.close()
            assert (await client.get("/healthz")).status_code == 200
        assert "Traceback" not in served.log()
    found = _shown(late)
    assert found.text == PIECE * PIECES
    assert found.snapshots
    assert found.ended
