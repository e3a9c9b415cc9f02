"""The events of a response are the same bytes on every gateway, live, resumed, and after the log is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from redis.asyncio import Redis

from tests.faults.installation import Installation
from tests.fixtures.databases import Databases
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.valkey import Valkey, running_valkey
from tests.fixtures.waiting import until
from tests.sdk.schemas import frames, judged_events

pytestmark = pytest.mark.anyio

TEXT = "Hello, I am Ada"
# A client resumes behind every so manieth event.
STRIDE = 5
DELTA = b"event: response.output_text.delta"


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    """To be wiped."""
    with running_valkey() as valkey:
        yield valkey


@pytest.fixture(scope="module")
def own_installation(
    databases: Databases, own_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Two gateways and a worker. The last worker of all lives."""
    folder: Path = tmp_path_factory.mktemp("resuming")
    with DemoProcess.started() as demo:
        made = Installation(folder, database_url=databases.new(folder), redis_url=own_valkey.url, demo=demo)
        try:
            asyncio.run(made.start(gateways=2, workers=1))
            yield made
        finally:
            made.stop()


class Recording:
    """One stream that is being recorded."""

    def __init__(self, http: httpx2.AsyncClient, url: str, body: dict[str, Any]) -> None:
        self.received = b""
        self._http = http
        self._task = asyncio.create_task(self._record(url, body))

    async def _record(self, url: str, body: dict[str, Any]) -> None:
        async with self._http.stream("POST", f"{url}/v1/responses", json=body) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_raw():
                self.received += piece

    async def has_heard(self, count: int) -> None:
        """Waits for so many pieces of text in all."""

        async def heard() -> bool:
            return self.received.count(DELTA) >= count

        await until(heard)

    async def whole(self) -> bytes:
        """All events, without signs of life."""
        await self._task
        return _without_comments(self.received)


def _without_comments(received: bytes) -> bytes:
    return b"".join(line for line in received.splitlines(keepends=True) if not line.startswith(b":"))


def _behind(whole: bytes, number: int) -> bytes:
    """What comes behind the event of this number: one more than so many blocks."""
    return b"\n\n".join(whole.split(b"\n\n")[number + 1 :])


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=90) as client:
        yield client


class Replays:
    """Reads one response's stream, of which all is known, again."""

    def __init__(self, http: httpx2.AsyncClient, installation: Installation, whole: bytes) -> None:
        self._http = http
        self._urls = installation.urls
        self._whole = whole
        self._id = orjson.loads(next(frames(whole))[1])["response"]["id"]

    async def read(self, url: str, after: int) -> bytes:
        """The events behind this number."""
        query: dict[str, str | int] = {"stream": "true", "starting_after": after}
        answer = await self._http.get(f"{url}/v1/responses/{self._id}", params=query)
        assert answer.status_code == 200
        return _without_comments(answer.content)

    async def are_exact(self) -> None:
        """On every gateway, from many places on."""
        last = sum(1 for _ in frames(self._whole)) - 1
        for url in self._urls:
            for after in (*range(-1, last, STRIDE), last - 1, last):
                assert await self.read(url, after) == _behind(self._whole, after), (url, after)


def _asked(model: str) -> dict[str, Any]:
    return {"model": model, "input": TEXT, "background": True, "stream": True}


def _is_consistent(whole: bytes) -> list[Any]:
    """The events, of which each item's pieces make its text."""
    events = judged_events(whole)
    said: dict[int, str] = {}
    for event in events:
        if event.type == "response.output_text.delta":
            said[event.output_index] = said.get(event.output_index, "") + event.delta
        elif event.type == "response.output_text.done":
            assert event.text == said[event.output_index]
    assert events[-1].response.output_text == said[max(said)]
    return events


@pytest.mark.parametrize(
    "model", ["demo-fast", "demo-500ms", "demo-filtered", "demo-fail-400", "demo-error-event-once"]
)
async def test_every_gateway_tells_the_same_also_after_the_log_is_gone(
    own_installation: Installation, own_valkey: Valkey, http: httpx2.AsyncClient, model: str
) -> None:
    whole = await Recording(http, own_installation.urls[0], _asked(model)).whole()
    judged_events(whole)
    replays = Replays(http, own_installation, whole)
    await replays.are_exact()
    async with Redis.from_url(own_valkey.client_url) as redis:
        await redis.flushall()
    await replays.are_exact()


async def test_a_client_that_comes_to_the_other_gateway_in_the_middle_gets_the_rest(
    own_installation: Installation, http: httpx2.AsyncClient
) -> None:
    recording = Recording(http, own_installation.urls[0], _asked("demo-2000ms"))
    await recording.has_heard(3)
    name = orjson.loads(next(frames(recording.received))[1])["response"]["id"]
    resumed = await http.get(
        f"{own_installation.urls[1]}/v1/responses/{name}", params={"stream": "true", "starting_after": 5}
    )
    assert _without_comments(resumed.content) == _behind(await recording.whole(), 5)


async def test_a_stream_goes_on_when_redis_is_wiped_in_its_middle(
    own_installation: Installation, own_valkey: Valkey, http: httpx2.AsyncClient
) -> None:
    recording = Recording(http, own_installation.urls[0], _asked("demo-3000ms"))
    await recording.has_heard(5)
    async with Redis.from_url(own_valkey.client_url) as redis:
        await redis.flushall()
    whole = await recording.whole()
    _is_consistent(whole)
    await Replays(http, own_installation, whole).are_exact()


async def test_after_a_worker_was_killed_the_item_is_closed_and_the_text_begins_again_the_same_everywhere(
    own_installation: Installation, own_valkey: Valkey, http: httpx2.AsyncClient
) -> None:
    victim = own_installation.workers[-1]
    recording = Recording(http, own_installation.urls[0], _asked("demo-8000ms"))
    await recording.has_heard(5)
    own_installation.add_worker()
    await own_installation.ready()
    victim.kill()
    whole = await recording.whole()
    events = _is_consistent(whole)
    ended = [event for event in events if event.type == "response.output_item.done"]
    assert [(event.output_index, event.item.status) for event in ended] == [(0, "incomplete"), (1, "completed")]
    replays = Replays(http, own_installation, whole)
    await replays.are_exact()
    async with Redis.from_url(own_valkey.client_url) as redis:
        await redis.flushall()
    await replays.are_exact()
