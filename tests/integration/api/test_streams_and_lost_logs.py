"""Streams when Redis forgets what was said."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from shared.messaging import reply_events
from tests.fixtures.event_stream import Transcript, listening
from tests.integration.api.losses import FIRST, SECOND, TEXT, THIRD, begun, forget, show, show_rest
from tests.integration.api.streaming import (
    ServedGateway,
    StreamingWorker,
)

pytestmark = pytest.mark.anyio


async def test_who_resumes_after_the_log_was_wiped_gets_a_snapshot_and_goes_on(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker, *, redis: Redis
) -> None:
    path, speaker = await begun(streams, speaking)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        speaker.say(*FIRST)
        await show(stream, shown, "".join(FIRST))
        after = stream.last_id
    speaker.say(*SECOND)
    await speaking.flush()
    await forget(redis, speaker)
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
        await show_rest(stream, shown)
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
    path, speaker = await begun(streams, speaking)
    speaker.say(*FIRST)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        await show(stream, shown, heard)
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
    path, speaker = await begun(streams, speaking)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        for words in (FIRST, SECOND, THIRD):
            speaker.say(*words)
            await show(stream, shown, shown.text + "".join(words))
            await forget(redis, speaker)
        await speaker.complete()
        await show_rest(stream, shown)
    assert shown.ended
    assert (shown.text, shown.snapshots) == (TEXT, 0)


async def test_a_wipe_between_the_catching_up_and_the_end_leaves_the_text_exact(
    streams: ServedGateway, speaking: StreamingWorker, redis: Redis
) -> None:
    path, speaker = await begun(streams, speaking)
    speaker.say(*FIRST)
    await speaking.flush()
    await forget(redis, speaker)
    speaker.say(*SECOND)
    await speaking.flush()
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        shown.take(await stream.expect("reply.queued"))
        speaker.say(*THIRD)
        await speaker.complete()
        await show_rest(stream, shown)
    assert shown.ended
    assert shown.text == TEXT
    assert shown.snapshots


async def test_a_place_where_nothing_has_been_yet_gets_a_snapshot(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    """As after a backup was restored, or by a client that makes it up."""
    path, speaker = await begun(streams, speaking)
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
        await show_rest(stream, shown)
    assert shown.text == TEXT


async def test_once_the_log_has_expired_there_is_a_snapshot_and_the_end(
    streams: ServedGateway, speaking: StreamingWorker, redis: Redis
) -> None:
    path, speaker = await begun(streams, speaking)
    speaker.say(*FIRST)
    await speaker.complete()
    await speaking.flush()
    await forget(redis, speaker)
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
    path, speaker = await begun(streams, speaking)
    shown = Transcript()
    async with listening(streams.client, path) as stream:
        speaker.say(*FIRST)
        await show(stream, shown, "".join(FIRST))
        await speaker.complete(is_told=False)
        await show_rest(stream, shown)
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
        await show(stream, shown, "".join((*FIRST, *SECOND)))
        speaker.say(*THIRD)
        await speaker.complete()
        await show_rest(stream, shown)
    assert shown.ended
    assert shown.text == TEXT
    assert await redis.exists(reply_events.log_key(reply["id"]))
