"""Streams when Redis forgets, is away or never was there, and when the one who spoke is somebody else by now."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from api.live.following import Follower
from shared.database.access import Database
from shared.errors import StorageError
from shared.messaging import reply_events
from shared.reply_status import ReplyStatus
from tests.fixtures.event_stream import EventReader, Told, Transcript, listening
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.fixtures.workers import NO_REDIS
from tests.integration.api.streaming import (
    ServedGateway,
    Speaker,
    StreamingWorker,
    serving_gateway,
    streaming_worker,
)

pytestmark = pytest.mark.anyio

FIRST, SECOND, THIRD = ("Hello, ", "I "), ("am ", "a demo "), ("model", ".")
TEXT = "".join((*FIRST, *SECOND, *THIRD))


@pytest.fixture
async def redis(shared_valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(shared_valkey.client_url) as client:
        yield client


async def _begun(gateway: ServedGateway, speaking: StreamingWorker) -> tuple[str, Speaker]:
    """The path of a reply's stream, and who answers."""
    turn = await gateway.ask(await gateway.new_conversation())
    reply = turn["replies"][0]
    return f"{reply['url']}events/", await speaking.speak(reply["id"])


async def _forget(redis: Redis, speaker: Speaker) -> None:
    """The log of this reply alone is lost, since others use the server too."""
    await redis.delete(reply_events.log_key(speaker.claim.reply_id))


async def _show(stream: EventReader, shown: Transcript, text: str) -> None:
    """Reads until the client shows this text."""
    while shown.text != text:
        told = await stream.next()
        assert told is not None, f"the stream ended at {shown.text!r}"
        shown.take(told)


async def _show_rest(stream: EventReader, shown: Transcript) -> None:
    for told in await stream.rest():
        shown.take(told)


async def test_who_resumes_after_the_log_was_wiped_gets_a_snapshot_and_goes_on(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker, *, redis: Redis
) -> None:
    path, speaker = await _begun(streams, speaking)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        speaker.say(*FIRST)
        await _show(stream, shown, "".join(FIRST))
        after = stream.last_id
    speaker.say(*SECOND)
    await speaking.flush()
    await _forget(redis, speaker)
    speaker.say(THIRD[0])
    await speaking.flush()
    async with listening(other.client, path, after=after) as stream:
        # The database knows nothing new so far: the reader is told nothing, rather than something with a gap.
        await speaker.save()
        snapshot = await stream.expect("snapshot")
        assert snapshot.id == str(speaker.stream.cursor)
        shown.take(snapshot)
        speaker.say(THIRD[1])
        await speaker.complete()
        await _show_rest(stream, shown)
    assert shown.ended
    assert shown.text == shown.ended["content"] == TEXT
    assert shown.snapshots == 1


@pytest.mark.parametrize(
    ("heard", "is_cancelled"),
    [
        pytest.param("", False, id="nothing of one that was completed"),
        pytest.param("".join(FIRST), False, id="some of one that was completed"),
        pytest.param("".join(FIRST), True, id="some of one that was cancelled between two tries"),
    ],
)
async def test_who_leaves_between_a_snapshot_of_an_ended_reply_and_its_end_is_told_no_more_than_the_end(
    streams: ServedGateway, speaking: StreamingWorker, redis: Redis, *, heard: str, is_cancelled: bool
) -> None:
    """The log was behind the database, and has everything when the reader comes back."""
    path, speaker = await _begun(streams, speaking)
    speaker.say(*FIRST)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        await _show(stream, shown, heard)
        after = stream.last_id
    speaker.say(*SECOND, *THIRD)
    if is_cancelled:
        await speaker.put_back()
        assert (await streams.client.post(path.replace("events", "cancel"))).status_code == 200
    else:
        await speaker.complete()
    await speaking.flush()
    log = reply_events.log_key(speaker.claim.reply_id)
    behind = await redis.dump(log)
    assert behind is not None
    await redis.delete(log)
    async with listening(streams.client, path, after=after) as stream:
        while not shown.snapshots:
            told = await stream.next()
            assert told is not None
            shown.take(told)
        after = stream.last_id
    await redis.restore(log, 0, behind)
    async with listening(streams.client, path, after=after) as stream:
        (end,) = await stream.rest()
    shown.take(end)
    assert shown.ended
    assert shown.text == (shown.ended["content"] or "")


async def test_a_wipe_goes_unnoticed_by_those_who_listen(
    streams: ServedGateway, speaking: StreamingWorker, redis: Redis
) -> None:
    path, speaker = await _begun(streams, speaking)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        for words in (FIRST, SECOND, THIRD):
            speaker.say(*words)
            await _show(stream, shown, shown.text + "".join(words))
            await _forget(redis, speaker)
        await speaker.complete()
        await _show_rest(stream, shown)
    assert shown.ended
    assert (shown.text, shown.snapshots) == (TEXT, 0)


async def test_a_wipe_between_the_catching_up_and_the_end_leaves_the_text_exact(
    streams: ServedGateway, speaking: StreamingWorker, redis: Redis
) -> None:
    path, speaker = await _begun(streams, speaking)
    speaker.say(*FIRST)
    await speaking.flush()
    await _forget(redis, speaker)
    speaker.say(*SECOND)
    await speaking.flush()
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        shown.take(await stream.expect("reply.queued"))
        speaker.say(*THIRD)
        await speaker.complete()
        await _show_rest(stream, shown)
    assert shown.ended
    assert shown.text == TEXT
    assert shown.snapshots


async def test_a_place_where_nothing_has_been_yet_gets_a_snapshot(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    """As after a backup was restored, or by a client that makes it up."""
    path, speaker = await _begun(streams, speaking)
    speaker.say(*FIRST)
    await speaking.flush()
    await speaker.save()
    for after in (f"{speaker.claim.token}-999", f"{speaker.claim.token + 7}-3"):
        async with listening(streams.client, path, after=after) as stream:
            assert (await stream.expect("snapshot")).reply["content"] == "".join(FIRST)
    shown = Transcript()
    async with listening(streams.client, path, after=f"{speaker.claim.token}-999") as stream:
        shown.take(await stream.expect("snapshot"))
        speaker.say(*SECOND, *THIRD)
        await speaker.complete()
        await _show_rest(stream, shown)
    assert shown.text == TEXT


async def test_a_stream_whose_beginning_meets_a_database_that_is_away_begins_a_moment_later(
    streams: ServedGateway, speaking: StreamingWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, speaker = await _begun(streams, speaking)
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
        await _show(stream, shown, "".join(FIRST))
    assert (shown.snapshots, shown.attempt) == (0, 0)


async def test_once_the_log_has_expired_there_is_a_snapshot_and_the_end(
    streams: ServedGateway, speaking: StreamingWorker, redis: Redis
) -> None:
    path, speaker = await _begun(streams, speaking)
    speaker.say(*FIRST)
    await speaker.complete()
    await speaking.flush()
    await _forget(redis, speaker)
    for after in (None, "2-1"):
        async with listening(streams.client, path, after=after) as stream:
            told = await stream.rest()
        assert [each.kind for each in told if each.kind != "reply.queued"] == ["snapshot", "reply.completed"]
        assert told[-1].reply["content"] == told[-2].reply["content"] == "".join(FIRST)
    async with listening(streams.client, path, after="2-1") as stream:
        snapshot = await stream.expect("snapshot")
    assert snapshot.id
    async with listening(streams.client, path, after=snapshot.id) as stream:
        assert [each.kind for each in await stream.rest()] == ["reply.completed"], "the end is not lost"


async def test_a_lost_end_is_noticed_in_the_database(streams: ServedGateway, speaking: StreamingWorker) -> None:
    path, speaker = await _begun(streams, speaking)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        speaker.say(*FIRST)
        await _show(stream, shown, "".join(FIRST))
        await speaker.complete(is_told=False)
        await _show_rest(stream, shown)
    assert shown.ended
    assert (shown.text, shown.snapshots) == ("".join(FIRST), 0)


async def test_a_lost_start_and_lost_text_are_noticed_with_the_next_word(
    streams: ServedGateway, speaking: StreamingWorker, redis: Redis
) -> None:
    """As while the worker could not reach Redis."""
    turn = await streams.ask(await streams.new_conversation())
    reply = turn["replies"][0]
    shown = Transcript()
    async with listening(streams.client, f"{reply['url']}events/") as stream:
        shown.take(await stream.expect("reply.queued"))
        speaker = await speaking.speak(reply["id"])
        speaker.say(*FIRST)
        speaking.notifier._events.clear()
        await speaker.save()
        speaker.say(*SECOND)
        await _show(stream, shown, "".join((*FIRST, *SECOND)))
        speaker.say(*THIRD)
        await speaker.complete()
        await _show_rest(stream, shown)
    assert shown.ended
    assert shown.text == TEXT
    assert await redis.exists(reply_events.log_key(reply["id"]))


async def test_what_a_zombie_says_is_never_seen(
    streams: ServedGateway,
    other: ServedGateway,
    speaking: StreamingWorker,
    *,
    database: Database,
    shared_valkey: Valkey,
) -> None:
    """The reply was taken over while its worker slept; it wakes and goes on talking."""
    path, zombie = await _begun(streams, speaking)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        zombie.say("Hello, I ", "sleep")
        await _show(stream, shown, "Hello, I sleep")
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
            await _show_rest(stream, shown)
    assert shown.ended
    assert (shown.text, shown.restarts, shown.snapshots) == (TEXT, 1, 0)
    assert shown.ended["attempt"] == 2
    async with listening(other.client, path) as stream:
        again = Transcript()
        await _show_rest(stream, again)
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
        await _show(stream, shown, "".join((*FIRST, *SECOND)))
        await speaking.be_taken_for_dead()
        await _show_rest(stream, shown)
    assert shown.ended
    assert shown.ended["status"] == "incomplete"
    assert shown.text == shown.ended["content"] == "".join(FIRST)


async def test_without_redis_the_text_grows_by_snapshots_up_to_its_end(
    environment: pytest.MonkeyPatch, speaking: StreamingWorker
) -> None:
    environment.setenv("REDIS_URL", NO_REDIS)
    async with serving_gateway() as gateway:
        path, speaker = await _begun(gateway, speaking)
        shown = Transcript()
        async with listening(gateway.client, path) as stream:
            for words in (FIRST, SECOND):
                speaker.say(*words)
                await speaker.save()
                await _show(stream, shown, speaker.stream.sent_text)
            speaker.say(*THIRD)
            await speaker.complete()
            await _show_rest(stream, shown)
    assert shown.ended
    assert shown.text == shown.ended["content"] == TEXT
    assert shown.snapshots >= 2


async def test_redis_may_go_and_come_back_in_the_middle(
    environment: pytest.MonkeyPatch, database: Database, valkey: Valkey
) -> None:
    environment.setenv("REDIS_URL", valkey.url)
    async with serving_gateway() as gateway, streaming_worker(database, valkey.client_url) as speaking:
        path, speaker = await _begun(gateway, speaking)
        shown = Transcript()
        async with listening(gateway.client, path) as stream:
            speaker.say(*FIRST)
            await _show(stream, shown, "".join(FIRST))
            valkey.kill()
            speaker.say(*SECOND)
            await speaking.flush()
            await speaker.save()
            await _show(stream, shown, "".join((*FIRST, *SECOND)))
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
