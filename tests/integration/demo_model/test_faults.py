"""Every fault the demo model can play, as OpenAI's client sees it."""

from __future__ import annotations

import asyncio
import json

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from tests.fixtures.demo_process import DemoProcess
from tests.integration.demo_model.asking import ANSWER, INTRODUCTION, Streamed, stream, whole

pytestmark = pytest.mark.anyio

BEGINNING = "Hello Ada, nice"
PATIENCE_SECONDS = 0.6


@pytest.mark.parametrize(
    ("model", "error", "status", "code"),
    [
        ("demo-fail-400", openai.BadRequestError, 400, "invalid_value"),
        ("demo-fail-401", openai.AuthenticationError, 401, "invalid_api_key"),
        ("demo-fail-403", openai.PermissionDeniedError, 403, "unsupported_country_region_territory"),
        ("demo-fail-404", openai.NotFoundError, 404, "model_not_found"),
        ("demo-fail-429", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("demo-fail-quota", openai.RateLimitError, 429, "insufficient_quota"),
        ("demo-fail-context", openai.BadRequestError, 400, "context_length_exceeded"),
        ("demo-fail-filter", openai.BadRequestError, 400, "content_filter"),
        ("demo-fail-500", openai.InternalServerError, 500, None),
        ("demo-fail-503", openai.InternalServerError, 503, None),
    ],
)
async def test_refusals_have_the_status_and_code_of_openai(
    client: AsyncOpenAI, model: str, error: type[openai.APIStatusError], status: int, code: str | None
) -> None:
    for asked in (whole(client, model), stream(client, model)):
        with pytest.raises(error) as raised:
            await asked
        assert (raised.value.status_code, raised.value.code) == (status, code)


async def test_only_the_rate_limit_says_when_to_come_back(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as limited:
        await whole(client, "demo-fail-429")
    with pytest.raises(openai.RateLimitError) as used_up:
        await whole(client, "demo-fail-quota")
    assert limited.value.response.headers["retry-after"] == "1"
    assert "retry-after" not in used_up.value.response.headers


@pytest.mark.parametrize("model", ["demo-fail-429-once", "demo-fail-503-once"])
async def test_once_fails_the_first_time_for_each_message(client: AsyncOpenAI, model: str) -> None:
    for say in ("Hello, I am Ada", "Hello, I am Grace"):
        with pytest.raises(openai.APIStatusError):
            await stream(client, model, say=say)
        assert (await stream(client, model, say=say)).finish_reason == "stop"
        assert (await whole(client, model, say=say)).choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", ["demo-cut-once", "demo-empty-once"])
async def test_once_goes_for_every_kind_of_fault(client: AsyncOpenAI, model: str) -> None:
    assert (await stream(client, model)).text() != ANSWER
    assert (await stream(client, model)).text() == ANSWER


@pytest.mark.parametrize(
    ("model", "text", "finish_reason"),
    [
        ("demo-filtered", "Hello Ada, nice to meet", "content_filter"),
        ("demo-filtered-empty", "", "content_filter"),
        ("demo-length", "Hello Ada, nice to meet", "length"),
        ("demo-empty", "", "stop"),
    ],
)
async def test_answers_that_end_early_say_why(client: AsyncOpenAI, model: str, text: str, finish_reason: str) -> None:
    got, answer = await stream(client, model), await whole(client, model)
    assert (got.text(), got.finish_reason) == (text, finish_reason)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (text, finish_reason)


@pytest.mark.parametrize(("model", "before"), [("demo-silent", ""), ("demo-stall", BEGINNING), ("demo-drip", "Hello")])
async def test_those_that_fall_silent_run_into_the_clients_timeout(
    client: AsyncOpenAI, model: str, before: str
) -> None:
    impatient = client.with_options(timeout=PATIENCE_SECONDS)
    got = Streamed()
    with pytest.raises(openai.APITimeoutError):
        await stream(impatient, model, into=got)
    assert got.text() == before
    with pytest.raises(openai.APITimeoutError):
        await whole(impatient, model)


async def test_a_reset_is_a_connection_error_after_some_words(client: AsyncOpenAI) -> None:
    got = Streamed()
    with pytest.raises(openai.APIConnectionError):
        await stream(client, "demo-reset", into=got)
    assert got.text() == BEGINNING
    with pytest.raises(openai.APIConnectionError):
        await whole(client, "demo-reset")


async def test_a_reset_is_one_of_tcp_and_not_a_polite_close(server: DemoProcess) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = json.dumps({"model": "demo-reset", "messages": INTRODUCTION, "stream": True})
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def test_a_cut_stream_ends_cleanly_without_a_reason(client: AsyncOpenAI) -> None:
    got = await stream(client, "demo-cut")
    assert (got.text(), got.finish_reason, got.usage) == (BEGINNING, None, None)


async def test_an_error_event_is_an_api_error_after_some_words(client: AsyncOpenAI) -> None:
    got = Streamed()
    with pytest.raises(openai.APIError, match="server had an error"):
        await stream(client, "demo-error-event", into=got)
    assert got.text() == BEGINNING


async def test_an_error_in_a_whole_answer_leaves_it_without_choices(client: AsyncOpenAI) -> None:
    answer = (await whole(client, "demo-error-event")).to_dict()
    assert "choices" not in answer
    assert "error" in answer


async def test_malformed_events_are_json_errors_after_some_words(client: AsyncOpenAI) -> None:
    got = Streamed()
    with pytest.raises(json.JSONDecodeError):
        await stream(client, "demo-malformed", into=got)
    assert got.text() == BEGINNING


@pytest.mark.parametrize("model", ["demo-malformed", "demo-cut"])
async def test_broken_bodies_are_json_errors(client: AsyncOpenAI, model: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        await whole(client, model)


async def test_a_web_page_is_neither_a_stream_nor_an_answer(client: AsyncOpenAI, http: httpx2.AsyncClient) -> None:
    assert await stream(client, "demo-html") == Streamed()
    page = await http.post("/v1/chat/completions", json={"model": "demo-html", "messages": INTRODUCTION})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


async def test_no_choices_brings_usage_alone(client: AsyncOpenAI) -> None:
    got, answer = await stream(client, "demo-no-choices"), await whole(client, "demo-no-choices")
    assert (got.tokens, got.finish_reasons) == ({}, {})
    assert answer.choices == []
    assert got.usage == answer.usage is not None
