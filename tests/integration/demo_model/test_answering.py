"""The demo model at its best, as OpenAI's client sees it."""

from __future__ import annotations

import asyncio
import json

import pytest
from openai import AsyncOpenAI, NotFoundError

from tests.integration.demo_model.asking import ANSWER, INTRODUCTION, stream, whole

pytestmark = pytest.mark.anyio


async def test_a_whole_answer_has_text_reason_model_and_usage(client: AsyncOpenAI) -> None:
    answer = await whole(client, "demo-fast")
    assert answer.object == "chat.completion"
    assert answer.model == "demo-fast"
    assert (answer.choices[0].message.role, answer.choices[0].message.content) == ("assistant", ANSWER)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.to_dict() == {"prompt_tokens": 8, "completion_tokens": 21, "total_tokens": 29}


async def test_a_stream_brings_the_same_answer_word_by_word(client: AsyncOpenAI) -> None:
    got = await stream(client, "demo-fast")
    assert got.text() == ANSWER
    assert len(got.tokens[0]) == 21
    assert (got.finish_reason, got.models) == ("stop", {"demo-fast"})
    assert got.usage is not None
    assert got.usage.total_tokens == 29


async def test_usage_is_streamed_only_when_asked_for(client: AsyncOpenAI) -> None:
    chunks = await client.chat.completions.create(model="demo-fast", messages=INTRODUCTION, stream=True)
    assert [chunk.usage async for chunk in chunks if chunk.usage or not chunk.choices] == []


async def test_n_gives_different_choices_streamed_or_not(client: AsyncOpenAI) -> None:
    answer = await whole(client, "demo-fast", n=3)
    got = await stream(client, "demo-fast", n=3)
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) == 3
    assert [got.text(index) for index in range(3)] == texts
    assert got.finish_reasons == {0: "stop", 1: "stop", 2: "stop"}
    assert got.usage == answer.usage


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_a_token_limit_cuts_the_answer(client: AsyncOpenAI, limit: str) -> None:
    answer = await client.chat.completions.create(model="demo-fast", messages=INTRODUCTION, extra_body={limit: 2})
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello Ada,", "length")


async def test_the_model_is_stateless_and_reads_the_conversation_it_is_given(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="demo-fast",
        messages=[
            {"role": "system", "content": "My name is Bob"},
            *INTRODUCTION,
            {"role": "assistant", "content": ANSWER},
            {"role": "user", "content": [{"type": "text", "text": "What is my name?"}]},
        ],
    )
    assert answer.choices[0].message.content == "Your name is Ada. This is our second exchange."


async def test_echo_says_exactly_what_it_was_told(client: AsyncOpenAI) -> None:
    text = '  Ünï\n"código" 明子 🦄 \u2028 \x00 ' + "x" * 70_000
    assert (await stream(client, "demo-echo", say=text)).text() == text
    assert (await whole(client, "demo-echo", say=text)).choices[0].message.content == text


async def test_transcript_says_which_messages_it_was_sent(client: AsyncOpenAI) -> None:
    answer = await whole(client, "demo-transcript")
    assert json.loads(answer.choices[0].message.content or "") == INTRODUCTION


async def test_load_is_41_tokens_over_two_seconds(client: AsyncOpenAI) -> None:
    clock = asyncio.get_running_loop().time
    started = clock()
    chunks = await client.chat.completions.create(model="demo-load", messages=INTRODUCTION, stream=True)
    moments = [clock() - started async for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(moments) == 41
    assert moments[0] >= 0.49
    assert moments[-1] >= 1.99


@pytest.mark.parametrize(("model", "seconds"), [("demo-300ms", 0.3), ("demo-slow", 2.0)])
async def test_a_timed_model_takes_its_time_streamed_or_not(client: AsyncOpenAI, model: str, seconds: float) -> None:
    clock = asyncio.get_running_loop().time
    started = clock()
    streamed, answer = await asyncio.gather(stream(client, model), whole(client, model))
    assert clock() - started >= seconds - 0.01
    assert streamed.text() == answer.choices[0].message.content == ANSWER


async def test_a_flood_can_be_left_and_others_are_served_meanwhile(client: AsyncOpenAI) -> None:
    chunks = await client.chat.completions.create(model="demo-flood", messages=INTRODUCTION, stream=True)
    for _ in range(1000):
        await anext(chunks)
    assert (await whole(client, "demo-fast")).choices[0].finish_reason == "stop"
    await chunks.close()


async def test_the_models_are_listed_and_shown(client: AsyncOpenAI) -> None:
    names = [model.id async for model in client.models.list()]
    assert {"demo", "demo-fast", "demo-slow", "demo-fail-429", "demo-reset"} <= set(names)
    assert (await client.models.retrieve("demo")).id == "demo"
    assert (await client.models.retrieve("demo-250ms")).object == "model"


async def test_a_model_that_is_not_a_demo_does_not_exist(client: AsyncOpenAI) -> None:
    for asked in (client.models.retrieve("llama"), whole(client, "llama"), stream(client, "llama")):
        with pytest.raises(NotFoundError) as raised:
            await asked
        assert raised.value.code == "model_not_found"
