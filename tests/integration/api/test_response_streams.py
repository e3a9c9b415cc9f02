"""The stream of a response under `/v1`: the same numbers live, resumed, and told from the database alone."""

from __future__ import annotations

from typing import Any

import httpx2
import orjson
import pytest
from redis.asyncio import Redis

from shared.database.access import Database
from shared.messaging import reply_events
from tests.fixtures.valkey import Valkey
from tests.integration.api.streaming import ServedGateway, StreamingWorker, streaming_worker

pytestmark = pytest.mark.anyio

FIRST, SECOND = ("Hello, ", "I ", "sl"), ("Hello, ", "I am ", "a demo ", "model.")
TEXT = "".join(SECOND)


async def ask(gateway: ServedGateway, **body: Any) -> str:
    """A response in the background; its id."""
    answer = await gateway.client.post("/v1/responses", json={"input": "Hello", "background": True, **body})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def reply_id(response_id: str) -> str:
    return response_id.replace("resp_", "reply_")


def events(received: str) -> list[dict[str, Any]]:
    """The events, without the end mark, which must be there."""
    *blocks, done, nothing = received.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    return [orjson.loads(block.rpartition("data: ")[2]) for block in blocks]


async def stream(gateway: ServedGateway, response_id: str, after: int | None = None) -> list[dict[str, Any]]:
    """The whole stream, up to its end."""
    query = {"stream": "true"} | ({} if after is None else {"starting_after": str(after)})
    answer = await gateway.client.get(f"/v1/responses/{response_id}", params=query)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "\nid:" not in answer.text
    return events(answer.text)


def check_numbers(found: list[dict[str, Any]]) -> None:
    assert [each["sequence_number"] for each in found] == list(range(len(found)))


def deltas(found: list[dict[str, Any]], index: int) -> str:
    return "".join(each["delta"] for each in found if "delta" in each and each["output_index"] == index)


async def forget(valkey: Valkey, response_id: str) -> None:
    """The log is lost."""
    async with Redis.from_url(valkey.client_url) as redis:
        await redis.delete(reply_events.log_key(reply_id(response_id)))


async def test_the_numbers_outlive_the_log_and_hold_on_every_gateway(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker, *, shared_valkey: Valkey
) -> None:
    response_id = await ask(streams)
    speaker = await speaking.speak(reply_id(response_id))
    speaker.say(*SECOND)
    await speaker.complete()
    told = await stream(streams, response_id)
    check_numbers(told)
    assert deltas(told, 0) == TEXT
    await forget(shared_valkey, response_id)
    for gateway in (streams, other):
        assert await stream(gateway, response_id) == told
        for after in range(len(told) + 1):
            assert await stream(gateway, response_id, after) == told[after + 1 :]


async def test_a_restart_begins_the_next_item_and_is_told_again_just_so(
    streams: ServedGateway, speaking: StreamingWorker, *, database: Database, shared_valkey: Valkey
) -> None:
    response_id = await ask(streams)
    dead = await speaking.speak(reply_id(response_id))
    dead.say(*FIRST)
    await speaking.flush()
    await speaking.be_taken_for_dead()
    async with streaming_worker(database, shared_valkey.client_url) as heir:
        speaker = await heir.speak(reply_id(response_id))
        speaker.say(*SECOND)
        await speaker.complete()
        told = await stream(streams, response_id)
    check_numbers(told)
    assert (deltas(told, 0), deltas(told, 1)) == ("".join(FIRST), TEXT)
    closed = [each["item"]["status"] for each in told if each["type"] == "response.output_item.done"]
    assert closed == ["incomplete", "completed"]
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == TEXT
    await forget(shared_valkey, response_id)
    assert await stream(streams, response_id) == told


async def test_where_the_log_is_lost_on_the_way_the_stored_text_goes_on_without_a_gap_in_the_numbers(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker, *, shared_valkey: Valkey
) -> None:
    response_id = await ask(streams)
    speaker = await speaking.speak(reply_id(response_id))
    speaker.say(*SECOND[:2])
    await speaking.flush()
    await speaker.save()
    await forget(shared_valkey, response_id)
    async with other.client.stream("GET", f"/v1/responses/{response_id}?stream=true&starting_after=3") as answer:
        received = ""
        async for piece in answer.aiter_text():
            received += piece
            if '"I am "' in received and speaker.stream.sent_text != TEXT:
                speaker.say(*SECOND[2:])
                await speaker.complete()
    resumed = events(received)
    told = await stream(streams, response_id)
    assert resumed == told[4:]
    assert deltas(told, 0) == TEXT


async def test_a_text_of_which_less_was_kept_than_shown_ends_all_the_same(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    turn = await streams.ask(await streams.new_conversation(), on_crash="keep_partial")
    response_id = str(turn["replies"][0]["id"]).replace("reply_", "resp_")
    speaker = await speaking.speak(reply_id(response_id))
    is_dead = False
    async with streams.client.stream("GET", f"/v1/responses/{response_id}?stream=true") as answer:
        received = ""
        async for piece in answer.aiter_text():
            received += piece
            if "response.in_progress" in received and not speaker.stream.sent_text:
                speaker.say(*FIRST[:2])
                await speaker.save()
                speaker.say(FIRST[2])
            if '"sl"' in received and not is_dead:
                is_dead = True
                await speaking.be_taken_for_dead()
    told = events(received)
    check_numbers(told)
    assert told[-1]["type"] == "response.incomplete"
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "".join(FIRST[:2])
    assert await stream(streams, response_id) == told


async def test_a_stream_of_what_is_erased_ends(streams: ServedGateway, speaking: StreamingWorker) -> None:
    response_id = await ask(streams)
    await speaking.speak(reply_id(response_id))
    async with streams.client.stream("GET", f"/v1/responses/{response_id}?stream=true") as answer:
        received = ""
        async for piece in answer.aiter_text():
            received += piece
            if "response.in_progress" in received and "DONE" not in received:
                assert (await streams.client.delete(f"/v1/responses/{response_id}")).status_code == 200
    assert [each["type"] for each in events(received)][:3] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert (await streams.client.get(f"/v1/responses/{response_id}")).status_code == 404


async def test_a_stream_that_its_gateway_has_to_end_is_cut_and_not_taken_for_whole(
    streams: ServedGateway, other: ServedGateway, speaking: StreamingWorker
) -> None:
    response_id = await ask(streams)
    speaker = await speaking.speak(reply_id(response_id))
    speaker.say(*SECOND[:2])
    pieces: list[str] = []

    async def read() -> None:
        async with streams.client.stream("GET", f"/v1/responses/{response_id}?stream=true") as answer:
            async for piece in answer.aiter_text():
                pieces.append(piece)
                if '"I am "' in piece:
                    streams.resources.hub.release()

    with pytest.raises(httpx2.TransportError):
        await read()
    received = "".join(pieces)
    assert "DONE" not in received
    speaker.say(*SECOND[2:])
    await speaker.complete()
    told = await stream(other, response_id)
    last = events(received + "data: [DONE]\n\n")[-1]["sequence_number"]
    assert deltas(told, 0) == TEXT
    assert await stream(other, response_id, last) == told[last + 1 :]


async def test_a_chain_that_was_followed_twice_is_erased_with_its_last_response(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    first = await ask(streams)
    await (await speaking.speak(reply_id(first))).complete()
    second = await ask(streams, previous_response_id=first)
    await (await speaking.speak(reply_id(second))).complete()
    third = await ask(streams, previous_response_id=first)
    await (await speaking.speak(reply_id(third))).complete()
    assert len((await streams.get("/conversations/"))["data"]) == 2
    for response_id in (first, second, third):
        assert (await streams.client.delete(f"/v1/responses/{response_id}")).status_code == 200
    assert (await streams.get("/conversations/"))["data"] == []


async def test_what_is_deleted_or_was_not_to_be_stored_is_behind_no_id(streams: ServedGateway) -> None:
    kept = await ask(streams)
    key = {"Idempotency-Key": "once"}
    body = {"input": "Hello", "background": True, "previous_response_id": kept}
    deleted = (await streams.client.post("/v1/responses", json=body, headers=key)).json()["id"]
    await streams.client.delete(f"/v1/responses/{deleted}")
    assert (await streams.client.post("/v1/responses", json=body, headers=key)).status_code == 404
    async with streams.client.stream(
        "POST", "/v1/responses", json={"input": "Hello", "store": False, "stream": True}
    ) as answer:
        first = orjson.loads((await anext(answer.aiter_text())).splitlines()[1].removeprefix("data: "))
        ephemeral = first["response"]["id"]
        for gone in (deleted, ephemeral):
            assert (await streams.client.get(f"/v1/responses/{gone}")).status_code == 404
            assert (await streams.client.get(f"/replies/{reply_id(gone)}/")).status_code == 404
            assert (await streams.client.get(f"/replies/{reply_id(gone)}/events/")).status_code == 404


async def test_a_format_that_every_look_would_have_to_read_is_bounded(streams: ServedGateway) -> None:
    schema = {"type": "object", "description": "x" * 40_000}
    formats = {"text": {"format": {"type": "json_schema", "name": "a", "schema": schema}}}
    answer = await streams.client.post("/v1/responses", json={"input": "Hello", **formats})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "text.format.schema")
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    wanted = {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}}
    assert (await streams.client.post("/v1/chat/completions", json={**chat, **wanted})).status_code == 400
