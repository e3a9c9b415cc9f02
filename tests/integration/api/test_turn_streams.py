"""A turn's events: its message and all its replies side by side, on a GET and as the answer to an ask."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.fixtures.event_stream import EventReader, Told, Transcript, listening
from tests.integration.api.streaming import ServedGateway, StreamingWorker

pytestmark = pytest.mark.anyio

EVENTS = {"Accept": "text/event-stream"}


async def _asked(gateway: ServedGateway, *, n: int) -> tuple[str, list[str]]:
    """The path of a turn's stream, and the ids of its replies."""
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id, n=n)
    return f"/conversations/{conversation_id}/turns/1/events/", [reply["id"] for reply in turn["replies"]]


def _shown(told: list[Told]) -> dict[str, Transcript]:
    """What a client shows of each reply."""
    shown: dict[str, Transcript] = {}
    for each in told:
        if each.kind != "message.created":
            shown.setdefault(each.reply_id, Transcript()).take(each)
    return shown


async def test_three_replies_stream_side_by_side_and_the_cursor_has_a_part_for_each(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    path, ids = await _asked(streams, n=3)
    async with listening(streams.client, path) as stream:
        created = await stream.expect("message.created")
        assert created.data["message"]["content"] == "Hello, I am Ada"
        queued = [await stream.expect("reply.queued") for _ in ids]
        assert [each.id for each in queued] == ["0-1.0-0.0-0", "0-1.0-1.0-0", "0-1.0-1.0-1"]
        speakers = await speaking.speak_all(ids)
        for number, speaker in enumerate(speakers):
            speaker.say(*f"I am {number}".split(" "))
        await speakers[1].complete()
        await speakers[0].fail()
        await speakers[2].complete()
        told = await stream.rest()
    shown = _shown(told)
    assert {reply_id: each.text for reply_id, each in shown.items()} == {
        reply_id: f"Iam{number}" for number, reply_id in enumerate(ids)
    }
    assert told[-1].id == "2-4.2-4.2-4"
    answer = await streams.client.get(path, headers={"Last-Event-ID": told[-1].id})
    assert answer.status_code == 204


async def test_a_turn_resumes_at_every_place_on_the_other_gateway(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    path, ids = await _asked(streams, n=2)
    async with listening(streams.client, path) as stream:
        speakers = await speaking.speak_all(ids)
        for word in ("a", "b", "c"):
            for speaker in speakers:
                speaker.say(word)
        for speaker in speakers:
            await speaker.complete()
        whole = await stream.rest()
    assert [each.kind for each in whole].count("message.created") == 1
    for place in range(1, len(whole)):
        before = whole[:place]
        async with listening(other.client, path, after=before[-1].id) as stream:
            shown = _shown([*before, *await stream.rest()])
        assert [shown[reply_id].text for reply_id in ids] == ["abc", "abc"]
        assert all(each.snapshots == 0 and each.ended for each in shown.values())


async def test_a_candidate_that_is_asked_for_meanwhile_joins_the_stream(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    path, (first_id,) = await _asked(streams, n=1)
    async with listening(streams.client, path) as stream:
        first = await speaking.speak(first_id)
        first.say("one")
        for kind in ("message.created", "reply.queued", "reply.started", "reply.delta"):
            await stream.expect(kind)
        turn = (await other.client.post(f"/replies/{first_id}/regenerate/")).json()
        second_id = turn["replies"][-1]["id"]
        second = await speaking.speak(second_id)
        second.say("two")
        await second.complete()
        await first.complete()
        told = await stream.rest()
    shown = _shown(told)
    assert shown[second_id].text == "two"
    assert shown[first_id].ended
    assert told[-1].id == "2-2.2-2"


async def test_a_turn_has_not_ended_while_a_new_candidate_waits(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    """Nobody has begun with it, so that no event tells of it."""
    path, (first_id,) = await _asked(streams, n=1)
    async with listening(streams.client, path) as stream:
        first = await speaking.speak(first_id)
        turn = (await streams.client.post(f"/replies/{first_id}/regenerate/")).json()
        second_id = turn["replies"][-1]["id"]
        await first.complete()
        told = await stream.next()
        while told != Told("reply.queued", {"reply_id": second_id}, "2-1.0-1"):
            assert told is not None, "the stream ended"
            told = await stream.next()
        second = await speaking.speak(second_id)
        second.say("two")
        await second.complete()
        assert _shown(await stream.rest())[second_id].text == "two"


@pytest.mark.parametrize("after", ["2-1.", ".2-1", "2-1..2-2", "2-1,2-2", "a"])
async def test_what_is_no_cursor_is_refused(streams: ServedGateway, after: str) -> None:
    path, _ = await _asked(streams, n=2)
    answer = await streams.client.get(path, headers={"Last-Event-ID": after})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


async def test_a_cursor_for_more_replies_than_there_are_still_tells_all(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    path, ids = await _asked(streams, n=1)
    async with listening(streams.client, path, after="0-1.0-1.0-1") as stream:
        speaker = await speaking.speak(ids[0])
        speaker.say("Hello")
        await speaker.complete()
        assert _shown(await stream.rest())[ids[0]].text == "Hello"


async def test_an_unknown_turn_is_not_found(streams: ServedGateway) -> None:
    conversation_id = await streams.new_conversation()
    for path in (f"/conversations/{conversation_id}/turns/1/events/", "/conversations/conv_x/turns/1/events/"):
        assert (await streams.client.get(path)).status_code == 404


def _asking(gateway: ServedGateway, conversation_id: str, *, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return gateway.client.stream(
        "POST",
        f"/conversations/{conversation_id}/ask-message/",
        json={"content": "Hello, I am Ada", **body},
        headers={**EVENTS, **(headers or {})},
        timeout=None,
    )


async def _messages(gateway: ServedGateway, conversation_id: str) -> list[tuple[str, str]]:
    found = (await gateway.get(f"/conversations/{conversation_id}/"))["messages"]
    return [(message["role"], message["content"]) for message in found]


async def test_an_ask_can_be_answered_with_the_turn_s_events(streams: ServedGateway, speaking: StreamingWorker) -> None:
    conversation_id = await streams.new_conversation()
    answer: httpx2.Response
    async with _asking(streams, conversation_id, n=2) as answer:
        assert answer.status_code == 200
        assert answer.headers["Location"] == f"/conversations/{conversation_id}/turns/1/"
        stream = EventReader(answer)
        created = await stream.expect("message.created")
        assert created.data["message"]["content"] == "Hello, I am Ada"
        ids = [(await stream.expect("reply.queued")).reply_id for _ in range(2)]
        for speaker in await speaking.speak_all(ids):
            speaker.say("Hello, ", "Ada")
            await speaker.complete()
        shown = _shown(await stream.rest())
    assert [shown[reply_id].text for reply_id in ids] == ["Hello, Ada"] * 2


async def test_the_same_ask_resumes_on_the_other_gateway_and_asks_nothing_twice(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    conversation_id = await streams.new_conversation()
    key = {"Idempotency-Key": "once"}
    shown = Transcript()
    answer: httpx2.Response
    async with _asking(streams, conversation_id, headers=key) as answer:
        stream = EventReader(answer)
        await stream.expect("message.created")
        queued = await stream.expect("reply.queued")
        speaker = await speaking.speak(queued.reply_id)
        speaker.say("Hello")
        shown.take(await stream.expect("reply.started"))
        shown.take(await stream.expect("reply.delta"))
        after = {**key, "Last-Event-ID": stream.last_id}
    speaker.say(", ", "Ada")
    async with _asking(other, conversation_id, headers=after) as answer:
        assert answer.headers["Location"] == f"/conversations/{conversation_id}/turns/1/"
        stream = EventReader(answer)
        await speaker.complete()
        for told in await stream.rest():
            shown.take(told)
        after = {**key, "Last-Event-ID": stream.last_id}
    assert shown.text == "Hello, Ada"
    async with _asking(other, conversation_id, headers=after) as answer:
        assert answer.status_code == 204
    assert await _messages(streams, conversation_id) == [("user", "Hello, I am Ada"), ("assistant", "Hello, Ada")]


async def test_an_ask_with_a_bad_cursor_asks_nothing(streams: ServedGateway) -> None:
    conversation_id = await streams.new_conversation()
    async with _asking(streams, conversation_id, headers={"Last-Event-ID": "nonsense"}) as answer:
        assert answer.status_code == 422
    assert await _messages(streams, conversation_id) == []


async def test_a_refused_ask_is_a_problem_and_no_stream(streams: ServedGateway) -> None:
    conversation_id = await streams.new_conversation()
    await streams.ask(conversation_id)
    async with _asking(streams, conversation_id, on_busy="reject") as answer:
        assert answer.status_code == 409
        assert answer.headers["Content-Type"].startswith("application/problem+json")
