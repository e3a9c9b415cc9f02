"""Replies are read together, each as it is when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.errors import NotFound
from tests.fixtures.event_stream import listening
from tests.fixtures.waiting import until
from tests.integration.api.gateway import Gateway
from tests.integration.api.streaming import ServedGateway, StreamingWorker

pytestmark = pytest.mark.anyio


@contextmanager
def _counted(database: Database) -> Iterator[list[str]]:
    """The statements that are read with inside the block, of replies."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "FROM replies" in statement and "IN (" in statement:
            seen.append(statement)

    engine = database._read_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def _asked(gateway: Gateway) -> str:
    turn = await gateway.ask(await gateway.new_conversation())
    return str(turn["replies"][0]["id"])


async def test_what_is_asked_for_in_one_moment_is_read_with_one_statement(gateway: Gateway) -> None:
    reader = gateway.resources.replies
    ids = [await _asked(gateway) for _ in range(3)]
    with _counted(gateway.resources.database) as seen:
        rows = await asyncio.gather(*(reader.read(DEFAULT_TENANT, each) for each in (*ids, ids[0])))
    assert [row["id"] for row in rows] == [*ids, ids[0]]
    assert len(seen) == 1


async def test_what_is_asked_for_during_a_reading_is_read_after_it(gateway: Gateway) -> None:
    reader = gateway.resources.replies
    reply_id = await _asked(gateway)
    with _counted(gateway.resources.database) as seen:
        first = asyncio.create_task(reader.read(DEFAULT_TENANT, reply_id))

        async def is_reading() -> bool:
            return bool(seen)

        await until(is_reading)
        second = asyncio.create_task(reader.read(DEFAULT_TENANT, reply_id))
        await asyncio.gather(first, second)
    assert len(seen) == 2


async def test_nobody_is_shown_what_is_another_s_or_nobody_s_and_the_others_are(gateway: Gateway) -> None:
    reader = gateway.resources.replies
    reply_id = await _asked(gateway)
    found: list[Any] = await asyncio.gather(
        reader.read("another", reply_id),
        reader.read(DEFAULT_TENANT, "reply_" + "0" * 26),
        reader.read(DEFAULT_TENANT, reply_id),
        return_exceptions=True,
    )
    strange, absent, own = found
    assert isinstance(strange, NotFound)
    assert isinstance(absent, NotFound)
    assert own["id"] == reply_id


async def test_a_failure_is_told_to_all_who_asked_and_the_next_are_read(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = gateway.resources.replies
    reply_id = await _asked(gateway)
    with monkeypatch.context() as broken:
        broken.setattr("shared.store.replies._BY_IDS", "no statement")
        failed = await asyncio.gather(
            *(reader.read(DEFAULT_TENANT, reply_id) for _ in range(2)), return_exceptions=True
        )
    assert all(isinstance(each, Exception) for each in failed)
    assert (await reader.read(DEFAULT_TENANT, reply_id))["id"] == reply_id


async def test_one_who_gives_up_takes_nobody_along(gateway: Gateway) -> None:
    reader = gateway.resources.replies
    reply_id = await _asked(gateway)
    leaving, staying = (asyncio.create_task(reader.read(DEFAULT_TENANT, reply_id)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying)["id"] == reply_id


async def test_a_stream_that_missed_nothing_reads_its_reply_at_its_begin_and_at_its_end(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    reply_id = await _asked(streams)
    speaker = await speaking.speak(reply_id)
    speaker.say("Hello")
    await speaking.flush()
    resources = streams.resources
    with _counted(resources.database) as seen:
        async with listening(streams.client, f"/replies/{reply_id}/events/") as stream:
            for kind in ("reply.queued", "reply.started", "reply.delta"):
                await stream.expect(kind)
            # As the hub does every few seconds: the stream knows of this version.
            await resources.hub._poll()
            speaker.say("there")
            await stream.expect("reply.delta")
            assert len(seen) == 2  # the route's and the stream's
            before = await _logs_read(resources.redis)
            await speaker.complete()
            await stream.expect("reply.completed")
    assert len(seen) == 3
    assert await _logs_read(resources.redis) == before


async def _logs_read(redis: Any) -> int:
    """How often a log was read, by anybody."""
    stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_xrange", {}).get("calls", 0))
