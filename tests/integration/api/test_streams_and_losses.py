"""Streams when Redis is away or never was there, and when the one who spoke is somebody else by now."""

from __future__ import annotations

import pytest

from api.live.following import Follower
from shared.database.access import Database
from shared.errors import StorageError
from shared.reply_status import ReplyStatus
from tests.fixtures.event_stream import Told, Transcript, listening
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.fixtures.workers import NO_REDIS
from tests.integration.api.losses import FIRST, SECOND, TEXT, THIRD, begun, show, show_rest
from tests.integration.api.streaming import ServedGateway, StreamingWorker, serving_gateway, streaming_worker

pytestmark = pytest.mark.anyio


async def test_a_stream_whose_beginning_meets_a_database_that_is_away_begins_a_moment_later(
    streams: ServedGateway, speaking: StreamingWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, speaker = await begun(streams, speaking)
    speaker.say(*FIRST)
    await speaking.flush()
    look, failures = Follower._row, iter([StorageError("away")])

    async def fail_once(follower: Follower) -> object:
        for error in failures:
            raise error
        return await look(follower)

    monkeypatch.setattr(Follower, "_row", fail_once)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        await show(stream, shown, "".join(FIRST))
    assert (shown.snapshots, shown.attempt) == (0, 0)


async def test_what_a_zombie_says_is_never_seen(
    streams: ServedGateway,
    other: ServedGateway,
    speaking: StreamingWorker,
    *,
    database: Database,
    shared_valkey: Valkey,
) -> None:
    """The reply was taken over while its worker slept; it wakes and goes on talking."""
    path, zombie = await begun(streams, speaking)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        zombie.say("Hello, I ", "sleep")
        await show(stream, shown, "Hello, I sleep")
        await speaking.be_taken_for_dead()
        zombie.say("walking ")
        await speaking.flush()
        async with streaming_worker(database, shared_valkey.client_url) as heir:
            speaker = await heir.speak(zombie.claim.reply_id)
            zombie.say("in my ", "sleep")
            speaker.say(*FIRST)
            zombie.stream.end(ReplyStatus.COMPLETED)
            speaker.say(*SECOND, *THIRD)
            await speaker.complete()
            await show_rest(stream, shown)
    assert shown.ended
    assert (shown.text, shown.restarts, shown.snapshots) == (TEXT, 1, 0)
    assert shown.ended["attempt"] == 2
    async with listening(other.client, path) as stream:
        again = Transcript()
        await show_rest(stream, again)
    assert again.text == TEXT
    assert again.restarts == 1


async def test_text_that_was_shown_and_lost_with_its_worker_is_taken_back(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    """What is kept of it is what was stored last."""
    turn = await streams.ask(await streams.new_conversation(), on_crash="keep_partial")
    reply = turn["replies"][0]
    shown = Transcript()
    async with listening(streams.client, f"{reply['url']}events/") as stream:
        speaker = await speaking.speak(reply["id"])
        speaker.say(*FIRST)
        await speaker.save()
        speaker.say(*SECOND)
        await show(stream, shown, "".join((*FIRST, *SECOND)))
        await speaking.be_taken_for_dead()
        await show_rest(stream, shown)
    assert shown.ended
    assert shown.ended["status"] == "incomplete"
    assert shown.text == shown.ended["content"] == "".join(FIRST)


async def test_without_redis_the_text_grows_by_snapshots_up_to_its_end(
    environment: pytest.MonkeyPatch, speaking: StreamingWorker
) -> None:
    environment.setenv("REDIS_URL", NO_REDIS)
    async with serving_gateway() as gateway:
        path, speaker = await begun(gateway, speaking)
        shown = Transcript()
        async with listening(gateway.client, path) as stream:
            for words in (FIRST, SECOND):
                speaker.say(*words)
                await speaker.save()
                await show(stream, shown, speaker.stream.sent_text)
            speaker.say(*THIRD)
            await speaker.complete()
            await show_rest(stream, shown)
    assert shown.ended
    assert shown.text == shown.ended["content"] == TEXT
    assert shown.snapshots >= 2


async def test_redis_may_go_and_come_back_in_the_middle(
    environment: pytest.MonkeyPatch, database: Database, valkey: Valkey
) -> None:
    environment.setenv("REDIS_URL", valkey.url)
    async with serving_gateway() as gateway, streaming_worker(database, valkey.client_url) as speaking:
        path, speaker = await begun(gateway, speaking)
        shown = Transcript()
        async with listening(gateway.client, path) as stream:
            speaker.say(*FIRST)
            await show(stream, shown, "".join(FIRST))
            valkey.kill()
            speaker.say(*SECOND)
            await speaking.flush()
            await speaker.save()
            await show(stream, shown, "".join((*FIRST, *SECOND)))
            valkey.start()

            async def is_back() -> bool:
                return gateway.resources.hub.is_connected

            await until(is_back)
            speaker.say(*THIRD)
            await speaker.complete()
            told: list[Told] = await stream.rest()
            for each in told:
                shown.take(each)
    assert shown.ended
    assert shown.ended["content"] == TEXT
    assert shown.text == TEXT
