"""The stream of a conversation: its state first, then everything that happens in it."""

from __future__ import annotations

import pytest

from shared.database.access import Database
from tests.fixtures.chats import Chats
from tests.fixtures.event_stream import EventReader, Told, Transcript, listening
from tests.fixtures.workers import NO_REDIS
from tests.integration.api.streaming import ServedGateway, StreamingWorker, serving_gateway

pytestmark = pytest.mark.anyio


async def _until(stream: EventReader, kind: str) -> list[Told]:
    """The events up to the next of this kind, which is the last of them."""
    found: list[Told] = []
    while not found or found[-1].kind != kind:
        told = await stream.next()
        assert told is not None, f"the stream ended, after {found}"
        found.append(told)
    return found


async def test_it_begins_with_the_conversation_and_no_event_has_an_id(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    conversation_id = await streams.new_conversation(title="Tea")
    path = f"/conversations/{conversation_id}/events/"
    async with listening(streams.client, path) as stream:
        snapshot = await stream.expect("snapshot")
        shown = await streams.get(f"/conversations/{conversation_id}/")
        assert snapshot.data["conversation"] == shown
        turn = await streams.ask(conversation_id)
        created = await stream.expect("message.created")
        assert created.data["message"] == turn["message"]
        speaker = await speaking.speak(turn["replies"][0]["id"])
        speaker.say("Hello, ", "Ada")
        await speaker.complete()
        told = await _until(stream, "reply.completed")
        assert told[-1].reply["content"] == "Hello, Ada"
        assert {each.id for each in (snapshot, created, *told)} == {None}
        transcript = Transcript()
        for each in told:
            transcript.take(each)
        assert transcript.text == "Hello, Ada"


async def test_it_goes_on_over_many_turns_and_hears_of_what_another_gateway_accepts(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    conversation_id = await streams.new_conversation(title="Tea")
    async with listening(streams.client, f"/conversations/{conversation_id}/events/") as stream:
        await stream.expect("snapshot")
        for number in range(3):
            turn = await other.ask(conversation_id, f"Question {number}")
            assert (await stream.expect("message.created")).data["message"]["content"] == f"Question {number}"
            speaker = await speaking.speak(turn["replies"][0]["id"])
            speaker.say("An ", f"answer {number}")
            await speaker.complete()
            shown = Transcript()
            for told in await _until(stream, "reply.completed"):
                shown.take(told)
            assert shown.text == f"An answer {number}"


async def test_an_appended_message_is_told(streams: ServedGateway, other: ServedGateway) -> None:
    conversation_id = await streams.new_conversation(title="Tea")
    async with listening(streams.client, f"/conversations/{conversation_id}/events/") as stream:
        await stream.expect("snapshot")
        for role in ("user", "assistant", "system"):
            appended = await other.client.post(
                f"/conversations/{conversation_id}/messages/", json={"role": role, "content": f"From {role}"}
            )
            assert appended.status_code == 201
            created = await stream.expect("message.created")
            assert created.data["message"]["role"] == role
            assert created.data["message"]["content"] == f"From {role}"


async def test_resuming_begins_with_the_state_and_goes_on_with_the_text_that_is_missing_there(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    conversation_id = await streams.new_conversation()
    turn = await streams.ask(conversation_id)
    speaker = await speaking.speak(turn["replies"][0]["id"])
    speaker.say("Hello, ", "I ")
    await speaker.save()
    speaker.say("am ")
    await speaking.flush()
    path = f"/conversations/{conversation_id}/events/"
    for gateway in (streams, other):
        async with listening(gateway.client, path, after="2-1") as stream:
            snapshot = await stream.expect("snapshot")
            (live,) = snapshot.data["conversation"]["live_replies"]
            assert live["content"] == "Hello, I "
            assert (await stream.expect("reply.delta")).data["text"] == "am "
    async with listening(streams.client, path) as stream:
        shown = Transcript(text=(await stream.expect("snapshot")).data["conversation"]["live_replies"][0]["content"])
        speaker.say("Ada")
        await speaker.complete()
        for told in await _until(stream, "reply.completed"):
            shown.take(told)
        assert shown.text == "Hello, I am Ada"


async def test_a_regeneration_is_told(streams: ServedGateway, speaking: StreamingWorker) -> None:
    conversation_id = await streams.new_conversation()
    turn = await streams.ask(conversation_id)
    reply_id = turn["replies"][0]["id"]
    await speaking.answer_all()
    async with listening(streams.client, f"/conversations/{conversation_id}/events/") as stream:
        await stream.expect("snapshot")
        again = (await streams.client.post(f"/replies/{reply_id}/regenerate/")).json()["replies"][-1]["id"]
        assert (await stream.expect("reply.queued")).reply_id == again
        speaker = await speaking.speak(again)
        speaker.say("Something else")
        await speaker.complete()
        told = await _until(stream, "reply.completed")
        assert told[-1].reply["content"] == "Something else"


async def test_changed_settings_a_choice_and_a_rating_are_told(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    conversation_id = await streams.new_conversation(title="Tea")
    path = f"/conversations/{conversation_id}/"
    second = (await streams.ask(conversation_id, n=2))["replies"][1]["id"]
    await speaking.answer_all()
    async with listening(streams.client, f"{path}events/") as stream:
        await stream.expect("snapshot")
        await other.client.patch(path, json={"title": "Coffee"})
        changed = (await stream.expect("conversation.changed")).data["conversation"]
        assert changed == (await other.get("/conversations/"))["data"][0]
        assert changed["title"] == "Coffee"
        assert (await other.client.post(f"/replies/{second}/select/")).status_code == 200
        assert (await stream.expect("reply.selected")).reply_id == second
        rated = (await other.client.put(f"/replies/{second}/feedback/", json={"rating": "up"})).json()["feedback"]
        assert (await stream.expect("reply.rated")).data == {"reply_id": second, "feedback": rated}
        await other.client.put(f"/replies/{second}/feedback/", json={"rating": None})
        assert (await stream.expect("reply.rated")).data == {"reply_id": second, "feedback": None}


async def test_the_first_message_tells_the_title(streams: ServedGateway) -> None:
    conversation_id = await streams.new_conversation()
    async with listening(streams.client, f"/conversations/{conversation_id}/events/") as stream:
        await stream.expect("snapshot")
        await streams.ask(conversation_id, "Hello, I am Ada")
        await stream.expect("message.created")
        assert (await stream.expect("conversation.changed")).data["conversation"]["title"] == "Hello, I am Ada"


async def test_deleting_the_conversation_ends_its_streams(streams: ServedGateway, other: ServedGateway) -> None:
    conversation_id = await streams.new_conversation()
    turn = await streams.ask(conversation_id)
    path = f"/conversations/{conversation_id}/events/"
    async with listening(streams.client, path) as one, listening(other.client, path) as two:
        for stream in (one, two):
            await stream.expect("snapshot")
        await streams.client.delete(f"/conversations/{conversation_id}/")
        for stream in (one, two):
            told = await stream.rest()
            assert [(each.kind, each.reply_id) for each in told if each.kind == "reply.cancelled"] == [
                ("reply.cancelled", turn["replies"][0]["id"])
            ]
    assert (await streams.client.get(path)).status_code == 404


async def test_a_reply_that_came_and_went_between_two_looks_is_told(
    environment: pytest.MonkeyPatch, database: Database, speaking: StreamingWorker
) -> None:
    """Without Redis a gateway looks once a second, and a fast model is done by then."""
    chats = Chats(database)
    environment.setenv("REDIS_URL", NO_REDIS)
    async with serving_gateway() as gateway:
        conversation_id = await gateway.new_conversation()
        async with listening(gateway.client, f"/conversations/{conversation_id}/events/") as stream:
            await stream.expect("snapshot")
            for number in range(2):
                (reply_id,) = await chats.ask(conversation_id, f"Question {number}")
                speaker = await speaking.speak(reply_id)
                speaker.say(f"Answer {number}")
                await (speaker.complete() if number else speaker.fail())
                created = await stream.expect("message.created")
                assert created.data["message"]["content"] == f"Question {number}"
                told = await _until(stream, "reply.completed" if number else "reply.failed")
                assert told[-1].reply["id"] == reply_id
                assert told[-1].reply["content"] == f"Answer {number}"
