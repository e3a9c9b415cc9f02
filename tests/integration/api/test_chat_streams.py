"""The stream of a chat completion, when its model's answer is begun anew, falls silent, or comes to nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from tests.fixtures.waiting import BOUND_SECONDS, until
from tests.integration.api.streaming import ServedGateway, Speaker, StreamingWorker

pytestmark = pytest.mark.anyio

BODY = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}], "stream": True}


class Listening:
    """A client that reads one completion to its end."""

    def __init__(self, gateway: ServedGateway, **body: Any) -> None:
        self.text = ""
        self._answer = asyncio.create_task(self._read(gateway, {**BODY, **body}))

    async def _read(self, gateway: ServedGateway, body: dict[str, Any]) -> list[dict[str, Any] | str]:
        found: list[dict[str, Any] | str] = []
        async with gateway.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                data = line.removeprefix("data: ")
                if data != line:
                    found.append(data if data == "[DONE]" else orjson.loads(data))
                    self.text += _content(found[-1])
        return found

    async def until_shown(self, text: str) -> None:
        """Waits until the client has this much."""

        async def is_shown() -> bool:
            return self.text == text

        await until(is_shown)

    async def rest(self) -> list[dict[str, Any] | str]:
        """All chunks, once the stream has ended."""
        return await asyncio.wait_for(self._answer, BOUND_SECONDS)


def _content(chunk: dict[str, Any] | str) -> str:
    if isinstance(chunk, str):
        return ""
    return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", []))


async def _speak(speaking: StreamingWorker) -> Speaker:
    """Begins with the only reply that is due."""
    claims: list[Any] = []

    async def is_claimed() -> bool:
        claims.extend(await speaking.claim())
        return bool(claims)

    await until(is_claimed)
    return Speaker(claims[0], speaking._database, speaking.notifier)


async def test_an_answer_that_begins_anew_with_the_same_words_goes_on_where_it_was(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    client = Listening(streams, stream_options={"include_usage": True})
    first = await _speak(speaking)
    first.say("Hello, ", "I am ")
    await client.until_shown("Hello, I am ")
    await first.put_back()
    second = await _speak(speaking)
    second.say("Hel", "lo, I am a ", "demo.")
    await second.complete()
    *chunks, usage, done = await client.rest()
    assert done == "[DONE]"
    assert client.text == "Hello, I am a demo."
    assert isinstance(usage, dict)
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 5)
    last = chunks[-1]
    assert isinstance(last, dict)
    assert last["choices"][0]["finish_reason"] == "stop"


async def test_an_answer_that_begins_anew_with_other_words_ends_the_stream_with_an_error(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    client = Listening(streams)
    first = await _speak(speaking)
    first.say("Hello, ", "I am ")
    await client.until_shown("Hello, I am ")
    await first.put_back()
    second = await _speak(speaking)
    second.say("Good day!")
    chunks = await client.rest()
    last = chunks[-1]
    assert isinstance(last, dict)
    assert last["error"]["code"] == "stream_broken"
    assert client.text == "Hello, I am "
    await second.complete()


async def test_an_answer_that_comes_to_nothing_ends_the_stream_with_its_error(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    client = Listening(streams)
    speaker = await _speak(speaking)
    speaker.say("Hello")
    await speaker.fail()
    last = (await client.rest())[-1]
    assert isinstance(last, dict)
    assert last["error"]["code"] == "rate_limited"


async def test_words_that_were_lost_on_the_way_come_with_the_end(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    client = Listening(streams)
    speaker = await _speak(speaking)
    speaker.say("Hello, ")
    await client.until_shown("Hello, ")
    speaker.say("I am ")
    speaking.notifier._events.clear()
    speaker.say("a demo.")
    await speaker.complete()
    assert (await client.rest())[-1] == "[DONE]"
    assert client.text == "Hello, I am a demo."


async def test_a_stream_that_its_gateway_has_to_end_says_so(streams: ServedGateway, speaking: StreamingWorker) -> None:
    client = Listening(streams)
    speaker = await _speak(speaking)
    speaker.say("Hello, ")
    await client.until_shown("Hello, ")
    streams.resources.hub.release()
    last = (await client.rest())[-1]
    assert isinstance(last, dict)
    assert last["error"]["code"] == "stream_broken"
    await speaker.complete()


async def test_an_answer_that_begins_anew_and_says_less_ends_the_stream_with_an_error(
    streams: ServedGateway, speaking: StreamingWorker
) -> None:
    client = Listening(streams)
    first = await _speak(speaking)
    first.say("Hello, ", "I am ")
    await client.until_shown("Hello, I am ")
    await first.put_back()
    second = await _speak(speaking)
    second.say("Hello, ")
    await second.complete()
    last = (await client.rest())[-1]
    assert isinstance(last, dict)
    assert last["error"]["code"] == "stream_broken"
