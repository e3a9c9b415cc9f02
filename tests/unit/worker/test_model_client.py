"""The request a model gets, and how its answer is read, with a server that sends exactly chosen bytes."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.ending import Usage
from shared.models_file import Upstream
from shared.reply_status import ReplyError
from tests.fixtures.raw_model import DONE, RawModel, chunk, event, head, raw_model, refusal, usage
from tests.fixtures.settings import settings_with
from tests.fixtures.waiting import BOUND_SECONDS
from worker import model_answer
from worker.model_answer import Finished
from worker.model_client import ModelRequest, OpenAIModelClient
from worker.model_failure import ModelFailure

pytestmark = pytest.mark.anyio

MESSAGES = [{"role": "user", "content": "Hello"}]
COUNTS = {"prompt_tokens": 3, "completion_tokens": 5}
SOON = 0.2


class Heard:
    """What one call gave."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.began = asyncio.Event()
        self.finished: Finished | None = None

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.began.set()

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def client_of(**settings: Any) -> OpenAIModelClient:
    """The client of the one upstream that the settings describe."""
    chosen = settings_with(**settings)
    return OpenAIModelClient(Upstream("default", chosen.openai_base_url), key=chosen.openai_api_key, settings=chosen)


async def call(base_url: str, *, into: Heard | None = None, **settings: Any) -> Heard:
    """Asks the model at this address."""
    heard = into or Heard()
    client = client_of(openai_base_url=base_url, **settings)
    request = ModelRequest("some-model", MESSAGES, {})
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            heard.finished = await client.stream(request, on_text=heard.add)
    finally:
        await client.close()
    return heard


async def hear(*parts: bytes, holds: bool = False, **settings: Any) -> Heard:
    """What comes of an answer."""
    async with raw_model(*parts, holds=holds) as model:
        return await call(model.base_url, **settings)


async def fail(*parts: bytes, holds: bool = False, **settings: Any) -> ModelFailure:
    """The failure that an answer comes to."""
    with pytest.raises(ModelFailure) as caught:
        await hear(*parts, holds=holds, **settings)
    return caught.value


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


async def test_text_arrives_piece_by_piece_with_the_end_and_the_counts() -> None:
    heard = await hear(
        head(), chunk("", role="assistant"), chunk("Hel"), chunk("lo"), chunk(finish="stop"), usage(COUNTS), DONE
    )
    assert heard.pieces == ["Hel", "lo"]
    assert heard.finished == Finished("stop", Usage(3, 5))


async def test_characters_may_be_split_anywhere() -> None:
    """Every byte in a write of its own."""
    body = b"data: " + json.dumps(
        {"choices": [{"index": 0, "delta": {"content": "né 日本 🙂"}, "finish_reason": "stop"}]}, ensure_ascii=False
    ).encode() + b"\n\n" + DONE  # fmt: skip
    heard = await hear(head(), *(body[at : at + 1] for at in range(len(body))))
    assert heard.text == "né 日本 🙂"


async def test_lines_may_end_as_on_windows_and_comments_are_ignored() -> None:
    body = b": hello\r\n\r\n" + chunk("Hi", finish="stop").replace(b"\n", b"\r\n") + b":\r\n\r\ndata: [DONE]\r\n\r\n"
    assert (await hear(head(), body)).text == "Hi"


async def test_data_needs_no_blank_after_its_colon_and_may_name_its_event() -> None:
    body = b"event: message\nid: 1\n" + chunk("Hi", finish="stop").replace(b"data: ", b"data:")
    assert (await hear(head(), body, DONE)).text == "Hi"


async def test_an_answer_without_done_is_whole_if_it_said_why_it_ended() -> None:
    assert (await hear(head(), chunk("Hi", finish="stop"))).finished == Finished("stop", None)


@pytest.mark.parametrize(
    "kind", ["text/event-stream; charset=utf-8", "TEXT/EVENT-STREAM", "text/event-stream;charset=UTF-8"]
)
async def test_the_content_type_may_be_spelled_in_any_way(kind: str) -> None:
    assert (await hear(head(kind=kind), chunk("Hi", finish="stop"), DONE)).text == "Hi"


async def test_compressed_answers_are_read() -> None:
    body = gzip.compress(chunk("Hi", finish="stop") + DONE)
    assert (await hear(head(more=["Content-Encoding: gzip"]), body)).text == "Hi"


async def test_a_broken_compression_is_malformed() -> None:
    failed = await fail(head(more=["Content-Encoding: gzip"]), b"this is no gzip")
    assert failed.failure.code is ReplyError.UPSTREAM_MALFORMED


async def test_a_refusal_is_an_answer() -> None:
    heard = await hear(head(), chunk(refusal="I cannot "), chunk(refusal="do that.", finish="stop"), DONE)
    assert heard.text == "I cannot do that."


async def test_what_no_database_takes_is_taken_out_of_the_text() -> None:
    heard = await hear(head(), chunk("a\0b\ud83dc", finish="stop"), DONE)
    assert heard.text == "ab?c"


async def test_an_answer_of_nothing_but_nul_is_empty() -> None:
    failed = await fail(head(), chunk("\0\0", finish="stop"), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_EMPTY


@pytest.mark.parametrize(
    "counts",
    [
        None,
        {},
        [],
        "many",
        7,
        {"prompt_tokens": 3},
        {"prompt_tokens": "3", "completion_tokens": 5},
        {"prompt_tokens": 3.5, "completion_tokens": 5},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": True, "completion_tokens": False},
    ],
    ids=str,
)
async def test_counts_that_say_nothing_are_none(counts: object) -> None:
    heard = await hear(head(), chunk("Hi", finish="stop"), usage(counts), DONE)
    assert heard.finished == Finished("stop", None)


async def test_counts_are_kept_within_what_a_column_holds() -> None:
    heard = await hear(
        head(), chunk("Hi", finish="stop"), usage({"prompt_tokens": -1, "completion_tokens": 10**18}), DONE
    )
    assert heard.finished == Finished("stop", Usage(0, 2**31 - 1))


async def test_a_call_of_tools_alone_is_an_empty_answer() -> None:
    tools = [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    failed = await fail(head(), chunk(tool_calls=tools), chunk(finish="tool_calls"), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_EMPTY


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_may_end_early_with_no_text(reason: str) -> None:
    assert (await hear(head(), chunk(finish=reason), DONE)).finished == Finished(reason, None)


async def test_an_end_without_a_reason_is_cut_off() -> None:
    assert (await fail(head(), chunk("Hi"))).failure.code is ReplyError.UPSTREAM_CUT_OFF


async def test_an_end_without_a_reason_is_cut_off_also_with_done() -> None:
    assert (await fail(head(), chunk("Hi"), DONE)).failure.code is ReplyError.UPSTREAM_CUT_OFF


async def test_no_byte_of_an_answer_is_cut_off() -> None:
    assert (await fail()).failure.code is ReplyError.UPSTREAM_CUT_OFF


@pytest.mark.parametrize(
    "value",
    [
        [],
        "text",
        7,
        {"choices": 7},
        {"choices": {"a": 1}},
        {"choices": "text"},
        {"choices": [7]},
        {"choices": [{"delta": "text"}]},
        {"choices": [{"delta": [1]}]},
        {"choices": [{"delta": {"content": 7}}]},
        {"choices": [{"delta": {"content": [{"type": "text", "text": "Hi"}]}}]},
        {"choices": [{"delta": {"content": "Hi"}, "finish_reason": ["stop"]}]},
        {"choices": [{"delta": {"content": "Hi"}, "finish_reason": {"a": 1}}]},
    ],
    ids=str,
)
async def test_a_chunk_of_another_shape_is_malformed(value: object) -> None:
    assert (await fail(head(), event(value), DONE)).failure.code is ReplyError.UPSTREAM_MALFORMED


@pytest.mark.parametrize(
    "body", [b"data: {\n\n", b"data: nothing\n\n", b'data: "\xff\xfe"\n\n', b"data: " + b"[" * 100_000 + b"\n\n"]
)
async def test_data_that_is_no_json_is_malformed(body: bytes) -> None:
    assert (await fail(head(), body)).failure.code is ReplyError.UPSTREAM_MALFORMED


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "x" * 500])
async def test_an_answer_that_is_no_stream_is_malformed(kind: str) -> None:
    failed = await fail(head(kind=kind), b"<html>")
    assert failed.failure.code is ReplyError.UPSTREAM_MALFORMED
    assert kind.partition(";")[0][:50] in failed.failure.message


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


async def test_an_answer_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_answer, "MAX_ANSWER_CHARS", 10)
    failed = await fail(head(), chunk("x" * 6), chunk("x" * 6, finish="stop"), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_MALFORMED


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


async def test_an_error_inside_the_stream_is_quoted() -> None:
    failed = await fail(head(), chunk("Hi"), event({"error": {"message": "Overheated", "code": 500}}), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_ERROR
    assert "Overheated" in failed.failure.message


async def test_an_error_inside_the_stream_may_be_a_plain_string() -> None:
    failed = await fail(head(), event({"error": "Overheated"}), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_ERROR
