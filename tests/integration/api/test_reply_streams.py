"""The events of one reply over a real connection: in order, each once, resumed wherever one likes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.event_stream import Told, Transcript, listening
from tests.integration.api.gateway import Gateway
from tests.integration.api.streaming import ServedGateway, StreamingWorker

pytestmark = pytest.mark.anyio

WORDS = ("Hello", ", ", "I am ", "a demo\nmodel", ' "quoted" ', "😀", ".")
TEXT = "".join(WORDS)


async def _asked(gateway: Gateway) -> dict[str, Any]:
    turn = await gateway.ask(await gateway.new_conversation())
    reply: dict[str, Any] = turn["replies"][0]
    return reply


def _path(reply: dict[str, Any]) -> str:
    return f"{reply['url']}events/"


def _text(told: list[Told]) -> str:
    return "".join(each.data["text"] for each in told if each.kind == "reply.delta")


async def test_a_reply_is_told_from_its_acceptance_to_its_end(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    reply = await _asked(streams)
    async with listening(streams.client, _path(reply)) as stream:
        assert stream.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert stream.answer.headers["Cache-Control"] == "no-cache, no-transform"
        assert stream.answer.headers["X-Accel-Buffering"] == "no"
        assert stream.answer.headers["X-Request-ID"]
        queued = await stream.expect("reply.queued")
        assert (queued.id, queued.data) == ("0-1", {"reply_id": reply["id"]})
        speaker = await speaking.speak(reply["id"])
        started = await stream.expect("reply.started")
        assert (started.id, started.data) == ("2-0", {"reply_id": reply["id"], "attempt": 1})
        for number, word in enumerate(WORDS, 1):
            speaker.say(word)
            assert await stream.expect("reply.delta") == Told(
                "reply.delta", {"reply_id": reply["id"], "text": word}, f"2-{number}"
            )
        await speaker.complete()
        completed = await stream.expect("reply.completed")
        assert completed.id == f"2-{len(WORDS) + 1}"
        assert completed.reply == await streams.get(reply["url"])
        assert completed.reply["content"] == TEXT
        assert await stream.next() is None


async def test_whoever_comes_later_is_told_everything_at_once(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    reply = await _asked(streams)
    speaker = await speaking.speak(reply["id"])
    speaker.say(*WORDS[:3])
    await speaking.flush()
    async with listening(streams.client, _path(reply)) as stream:
        told = [await stream.next() for _ in range(5)]
        speaker.say(*WORDS[3:])
        await speaker.complete()
        told += await stream.rest()
    assert [each.id for each in told if each] == ["0-1", *(f"2-{seq}" for seq in range(len(WORDS) + 2))]
    assert _text([each for each in told if each]) == TEXT


async def test_a_reply_that_has_ended_is_told_as_it_was(streams: ServedGateway, speaking: StreamingWorker) -> None:
    reply = await _asked(streams)
    speaker = await speaking.speak(reply["id"])
    speaker.say(*WORDS)
    await speaker.complete()
    await speaking.flush()
    async with listening(streams.client, _path(reply)) as stream:
        told = await stream.rest()
    assert [each.kind for each in told] == [
        "reply.queued",
        "reply.started",
        *["reply.delta"] * len(WORDS),
        "reply.completed",
    ]
    assert _text(told) == TEXT


async def test_every_id_resumes_behind_it_on_either_gateway(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    reply = await _asked(streams)
    speaker = await speaking.speak(reply["id"])
    speaker.say(*WORDS)
    await speaker.complete()
    await speaking.flush()
    async with listening(streams.client, _path(reply)) as stream:
        whole = await stream.rest()
    for place, told in enumerate(whole[:-1]):
        assert told.id
        for gateway in (streams, other):
            async with listening(gateway.client, _path(reply), after=told.id) as stream:
                assert await stream.rest() == whole[place + 1 :]
        async with listening(streams.client, f"{_path(reply)}?after={told.id}", after="0-1") as stream:
            assert await stream.rest() == whole[place + 1 :], "?after= wins"
    for gateway in (streams, other):
        answer = await gateway.client.get(_path(reply), headers={"Last-Event-ID": str(whole[-1].id)})
        assert (answer.status_code, answer.content) == (204, b"")


async def test_a_stream_goes_over_to_the_other_gateway_in_the_middle(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    reply = await _asked(streams)
    speaker = await speaking.speak(reply["id"])
    shown, after = Transcript(), ""
    for number, word in enumerate(WORDS):
        gateway = (streams, other)[number % 2]
        speaker.say(word)
        async with listening(gateway.client, _path(reply), after=after) as stream:
            while shown.text != "".join(WORDS[: number + 1]):
                told = await stream.next()
                assert told is not None
                shown.take(told)
            after = stream.last_id
    await speaker.complete()
    async with listening(other.client, _path(reply), after=after) as stream:
        for told in await stream.rest():
            shown.take(told)
    assert shown.ended is not None
    assert shown.text == shown.ended["content"] == TEXT
    assert shown.snapshots == 0


async def test_two_gateways_tell_the_same_at_once(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    reply = await _asked(streams)
    async with listening(streams.client, _path(reply)) as one, listening(other.client, _path(reply)) as two:
        speaker = await speaking.speak(reply["id"])
        speaker.say(*WORDS)
        await speaker.complete()
        assert await one.rest() == await two.rest()


async def test_another_try_makes_what_was_shown_void(streams: ServedGateway, speaking: StreamingWorker) -> None:
    reply = await _asked(streams)
    shown = Transcript()
    async with listening(streams.client, _path(reply)) as stream:
        first = await speaking.speak(reply["id"])
        first.say("Hello, I ", "forgot")
        await first.put_back()
        second = await speaking.speak(reply["id"])
        second.say(*WORDS)
        await second.complete()
        told = await stream.rest()
    assert [(each.id, each.kind) for each in told[:7]] == [
        ("0-1", "reply.queued"),
        ("2-0", "reply.started"),
        ("2-1", "reply.delta"),
        ("2-2", "reply.delta"),
        ("3-0", "reply.queued"),
        ("4-0", "reply.restarted"),
        ("4-1", "reply.delta"),
    ]
    for each in told:
        shown.take(each)
    assert (shown.text, shown.restarts, shown.attempt) == (TEXT, 1, 2)
    async with listening(streams.client, _path(reply), after="2-1") as stream:
        again = Transcript()
        for each in await stream.rest():
            again.take(each)
    assert (again.text, again.restarts) == (TEXT, 1)


async def test_a_failure_is_an_end_too(streams: ServedGateway, speaking: StreamingWorker) -> None:
    reply = await _asked(streams)
    async with listening(streams.client, _path(reply)) as stream:
        speaker = await speaking.speak(reply["id"])
        speaker.say("Hello")
        await speaker.fail()
        told = await stream.rest()
    assert told[-1].kind == "reply.failed"
    assert told[-1].reply["error"]["code"] == "rate_limited"
    assert told[-1].reply["content"] == "Hello"


async def test_a_cancelled_reply_that_nobody_had_ends_its_stream(streams: ServedGateway) -> None:
    reply = await _asked(streams)
    async with listening(streams.client, _path(reply)) as stream:
        await stream.expect("reply.queued")
        await streams.client.post(f"{reply['url']}cancel/")
        cancelled = await stream.expect("reply.cancelled")
        assert cancelled.reply["status"] == "cancelled"
        assert await stream.next() is None
    answer = await streams.client.get(_path(reply), headers={"Last-Event-ID": str(cancelled.id)})
    assert answer.status_code == 204


async def test_a_reply_that_is_tried_again_after_its_end_goes_on_and_does_not_end_at_the_old_end(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    reply = await _asked(streams)
    async with listening(streams.client, _path(reply)) as stream:
        speaker = await speaking.speak(reply["id"])
        speaker.say("Hello, I ")
        await speaker.fail()
        failed = (await stream.rest())[-1]
    assert failed.kind == "reply.failed"
    retried = await streams.client.post(f"{reply['url']}retry/")
    assert retried.status_code == 202
    async with (
        listening(streams.client, _path(reply)) as anew,
        listening(other.client, _path(reply), after=failed.id) as resumed,
    ):
        again = await speaking.speak(reply["id"])
        again.say(*WORDS)
        await again.complete()
        for stream in (anew, resumed):
            shown = Transcript()
            for told in await stream.rest():
                shown.take(told)
            assert shown.ended is not None
            assert shown.ended["status"] == "completed"
            assert shown.text == TEXT


async def test_deleting_the_conversation_ends_the_stream(streams: ServedGateway, speaking: StreamingWorker) -> None:
    reply = await _asked(streams)
    async with listening(streams.client, _path(reply)) as stream:
        speaker = await speaking.speak(reply["id"])
        speaker.say("Hello")
        for kind in ("reply.queued", "reply.started", "reply.delta"):
            await stream.expect(kind)
        await streams.client.delete(f"/conversations/{reply['conversation_id']}/")
        cancelled = await stream.expect("reply.cancelled")
        assert cancelled.data == {"reply_id": reply["id"]}
        assert await stream.next() is None
    assert (await streams.client.get(_path(reply))).status_code == 404


@pytest.mark.parametrize("after", ["2", "2-", "a-b", "0-1.2-1", "2-1-3", "-1-0", "9" * 300])
async def test_what_is_no_event_s_id_is_refused(streams: ServedGateway, after: str) -> None:
    reply = await _asked(streams)
    answer = await streams.client.get(_path(reply), params={"after": after})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_cursor"
    assert answer.json()["errors"][0]["pointer"] == "?after"
    by_header = await streams.client.get(_path(reply), headers={"Last-Event-ID": after})
    assert by_header.status_code == 422


async def test_a_place_that_this_reply_never_had_gets_a_snapshot(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    """As after the database was put back from a backup."""
    reply = await _asked(streams)
    speaker = await speaking.speak(reply["id"])
    speaker.say(*WORDS[:3])
    await speaker.save()
    await speaking.flush()
    async with listening(streams.client, _path(reply), after="7-7") as stream:
        snapshot = await stream.expect("snapshot")
        assert (snapshot.id, snapshot.reply["content"]) == ("2-3", "".join(WORDS[:3]))
        speaker.say(*WORDS[3:])
        await speaker.complete()
        assert _text(await stream.rest()) == "".join(WORDS[3:])


async def test_an_unknown_reply_is_not_found(streams: ServedGateway) -> None:
    for path in ("/replies/reply_unknown/events/", "/replies/x/events"):
        assert (await streams.client.get(path)).status_code == 404
