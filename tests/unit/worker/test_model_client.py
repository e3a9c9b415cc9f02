"""The request a model gets, and a connection that does not do as it should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.reply_status import ReplyError
from tests.fixtures.raw_model import DONE, RawModel, chunk, head, raw_model, refusal
from tests.fixtures.waiting import BOUND_SECONDS
from tests.unit.worker.model_calls import MESSAGES, SOON, Heard, call, client_of, fail, hear
from worker.model_answer import Finished
from worker.model_client import ModelRequest
from worker.model_failure import ModelFailure

pytestmark = pytest.mark.anyio


async def asked_with(parameters: Mapping[str, Any], **settings: Any) -> RawModel:
    """The server, once it was asked with these parameters."""
    async with raw_model(head(), chunk("Hi", finish="stop"), DONE) as model:
        client = client_of(openai_base_url=model.base_url, **settings)
        await client.stream(ModelRequest("some-model", MESSAGES, parameters), on_text=lambda _: None)
        await client.close()
        return model


async def test_the_request_is_a_streaming_chat_completion_that_asks_for_usage() -> None:
    model = await asked_with({})
    assert model.head[0] == "post /v1/chat/completions http/1.1"
    assert "content-type: application/json" in model.head
    assert model.asked == {
        "model": "some-model",
        "messages": MESSAGES,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_the_key_is_sent_as_a_bearer_token() -> None:
    assert "authorization: bearer sk-test" in (await asked_with({}, openai_api_key="sk-test")).head


async def test_a_server_without_keys_is_asked_without_a_real_one() -> None:
    assert "authorization: bearer none" in (await asked_with({})).head


async def test_known_parameters_are_passed_on_and_others_are_not() -> None:
    known = {
        "temperature": 0,
        "top_p": 0.5,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "seed": 7,
        "stop": ["\n"],
        "reasoning_effort": "low",
    }
    asked = (await asked_with({**known, "stream": False, "n": 5, "model": "other", "top_k": 1})).asked
    assert {name: asked[name] for name in known} == known
    assert asked.keys() == {"model", "messages", "stream", "stream_options", *known}
    assert (asked["model"], asked["stream"]) == ("some-model", True)


async def test_a_parameter_that_is_null_is_left_out() -> None:
    assert "temperature" not in (await asked_with({"temperature": None, "max_output_tokens": None})).asked


async def test_compatible_servers_are_told_the_old_name_of_the_length() -> None:
    asked = (await asked_with({"max_output_tokens": 10})).asked
    assert asked["max_tokens"] == 10
    assert "max_completion_tokens" not in asked


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        (None, "max_completion_tokens"),
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://example.openai.azure.com/openai/v1/", "max_completion_tokens"),
        ("https://API.OPENAI.COM/v1", "max_completion_tokens"),
        ("https://openrouter.ai/api/v1", "max_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
        ("https://api.openai.com.example/v1", "max_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
    ],
)
async def test_openai_itself_is_told_the_new_name_of_the_length(base_url: str | None, name: str) -> None:
    client = client_of(openai_base_url=base_url, openai_api_key="sk-test")
    body = json.loads(client._body(ModelRequest("some-model", MESSAGES, {"max_output_tokens": 10})))
    await client.close()
    assert body.keys() & {"max_tokens", "max_completion_tokens"} == {name}


async def test_what_is_no_http_is_told_as_such() -> None:
    failed = await fail(b"SSH-2.0-OpenSSH_9.9\r\n")
    assert failed.failure.code in {ReplyError.UPSTREAM_MALFORMED, ReplyError.UPSTREAM_CUT_OFF}


async def test_a_redirect_is_not_followed() -> None:
    """It would carry the conversation to another host."""
    async with raw_model(head(), chunk("Hi", finish="stop"), DONE) as other:
        failed = await fail(refusal("307 Temporary Redirect", {}, more=[f"Location: {other.base_url}"]))
        assert other.requests == []
    assert failed.failure.code is ReplyError.UPSTREAM_ERROR


async def test_the_client_itself_tries_only_once() -> None:
    """The tries are counted and kept in the database."""
    async with raw_model(refusal("500 Internal Server Error", {})) as model:
        with pytest.raises(ModelFailure):
            await call(model.base_url)
        assert len(model.requests) == 1


async def test_silence_before_the_first_chunk_has_its_own_bound() -> None:
    failed = await fail(head(), holds=True, first_byte_seconds=SOON, chunk_seconds=BOUND_SECONDS)
    assert failed.failure.code is ReplyError.UPSTREAM_TIMEOUT
    assert "sent nothing" in failed.failure.message


async def test_silence_between_chunks_has_its_own_bound() -> None:
    failed = await fail(head(), chunk("Hi"), holds=True, first_byte_seconds=BOUND_SECONDS, chunk_seconds=SOON)
    assert failed.failure.code is ReplyError.UPSTREAM_TIMEOUT
    assert "in the middle" in failed.failure.message


async def test_a_server_that_keeps_the_connection_open_after_done_is_not_waited_for() -> None:
    heard = await hear(head(), chunk("Hi", finish="stop"), DONE, holds=True)
    assert heard.finished == Finished("stop", None)


async def test_an_answer_that_said_why_it_ended_is_whole_though_the_connection_then_stalls() -> None:
    """Asking again would pay for the same answer twice."""
    heard = await hear(head(), chunk("Hi", finish="stop"), holds=True, chunk_seconds=SOON)
    assert heard.finished == Finished("stop", None)


async def test_an_answer_that_said_why_it_ended_is_whole_though_the_connection_then_breaks() -> None:
    chunked = head(more=["Transfer-Encoding: chunked"])
    body = chunk("Hi", finish="stop")
    heard = await hear(chunked, f"{len(body):x}\r\n".encode() + body + b"\r\n5\r\nda")
    assert heard.finished == Finished("stop", None)


async def test_a_closed_port_is_unreachable() -> None:
    async with raw_model() as model:
        closed = model.base_url
    with pytest.raises(ModelFailure) as caught:
        await call(closed)
    assert (caught.value.failure.code, caught.value.counts) == (ReplyError.UPSTREAM_UNREACHABLE, False)


async def test_an_unknown_host_is_unreachable() -> None:
    with pytest.raises(ModelFailure) as caught:
        await call("http://model.invalid/v1")
    assert caught.value.failure.code is ReplyError.UPSTREAM_UNREACHABLE


async def test_cancelling_the_call_closes_the_connection() -> None:
    heard = Heard()
    async with raw_model(head(), chunk("Hi"), holds=True) as model:
        asking = asyncio.create_task(call(model.base_url, into=heard))
        async with asyncio.timeout(BOUND_SECONDS):
            await heard.began.wait()
            asking.cancel()
            await model.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await asking
