"""A script as people write it for OpenAI's own service runs here unchanged."""

from __future__ import annotations

import time
from typing import Any

import openai
import orjson
import pytest
from pydantic import BaseModel

TEXT = "Hello, I am Ada"
MODEL = "demo-1000ms"
LONG_MODEL = "demo-20000ms"
LIVE = ("queued", "in_progress")
POLL_SECONDS = 0.1
# Where the client breaks off, which is within the text.
BREAK_AFTER = 7


def _text_of(events: list[Any]) -> str:
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def _ask(client: openai.OpenAI, text: str, **more: Any) -> Any:
    return client.responses.create(model="demo-fast", input=text, **more)


def test_a_response_in_the_background_is_polled_to_its_end(client: openai.OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=TEXT, background=True)
    assert response.status in LIVE
    while response.status in LIVE:
        time.sleep(POLL_SECONDS)  # As in OpenAI's own examples: the loop ends with the status, not with the clock.
        response = client.responses.retrieve(response.id)
    assert response.status == "completed"
    assert response.output_text.startswith("Hello Ada")
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_a_stream_that_breaks_off_is_resumed_exactly(client: openai.OpenAI) -> None:
    seen = []
    with client.responses.create(model=MODEL, input=TEXT, background=True, stream=True) as stream:
        for event in stream:
            seen.append(event)
            if event.sequence_number == BREAK_AFTER:
                break
    response_id = seen[0].response.id  # type: ignore[union-attr]
    with client.responses.retrieve(response_id, stream=True, starting_after=BREAK_AFTER) as stream:
        seen += list(stream)
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].type == "response.completed"
    assert _text_of(seen) == seen[-1].response.output_text == client.responses.retrieve(response_id).output_text


@pytest.mark.anyio
async def test_coroutines_poll_stream_break_off_and_resume(async_client: openai.AsyncOpenAI) -> None:
    seen = []
    async with await async_client.responses.create(model=MODEL, input=TEXT, background=True, stream=True) as stream:
        async for event in stream:
            seen.append(event)
            if event.sequence_number == BREAK_AFTER:
                break
    response_id = seen[0].response.id  # type: ignore[union-attr]
    resumed = await async_client.responses.retrieve(response_id, stream=True, starting_after=BREAK_AFTER)
    async with resumed as stream:
        seen += [event async for event in stream]
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert _text_of(seen) == (await async_client.responses.retrieve(response_id)).output_text
    running = await async_client.responses.create(model=LONG_MODEL, input=TEXT, background=True)
    assert (await async_client.responses.cancel(running.id)).status == "cancelled"


def test_the_helper_streams_and_gives_the_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="demo-fast", input=TEXT, background=True) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        response = stream.get_final_response()
    assert text == response.output_text


def test_the_helper_resumes_by_id_and_number(client: openai.OpenAI) -> None:
    response = _ask(client, TEXT)
    with client.responses.stream(response_id=response.id, starting_after=BREAK_AFTER) as stream:
        events: list[Any] = list(stream)
        assert stream.get_final_response().output_text == response.output_text
    assert events[0].sequence_number == BREAK_AFTER + 1
    assert events[-1].type == "response.completed"


def test_a_running_response_is_cancelled(client: openai.OpenAI) -> None:
    response = client.responses.create(model=LONG_MODEL, input=TEXT, background=True)
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.retrieve(response.id).status == "cancelled"


def test_a_chain_forks_and_each_branch_answers_from_its_own_history(client: openai.OpenAI) -> None:
    first = _ask(client, "Hello there")
    ada = _ask(client, "My name is Ada", previous_response_id=first.id)
    grace = _ask(client, "My name is Grace", previous_response_id=first.id)
    for parent, name in ((ada, "Ada"), (grace, "Grace")):
        asked = _ask(client, "What is my name?", previous_response_id=parent.id)
        assert asked.output_text == f"Your name is {name}. This is our third exchange."
        assert asked.previous_response_id == parent.id
    # The first of them all is not changed by what follows it.
    assert "not told me" in _ask(client, "What is my name?", previous_response_id=first.id).output_text


def test_instructions_are_not_carried_along_a_chain(client: openai.OpenAI) -> None:
    """As with OpenAI's service."""
    first = client.responses.create(model="demo-transcript", input="One", instructions="Be brief.")
    second = client.responses.create(model="demo-transcript", input="Two", previous_response_id=first.id)
    assert "Be brief." in [said["content"] for said in orjson.loads(first.output_text)]
    assert all(said["role"] != "system" for said in orjson.loads(second.output_text)), second.output_text


def test_a_conversation_has_items_and_goes_on(client: openai.OpenAI) -> None:
    conversation = client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "My name is Ada"}], metadata={"topic": "names"}
    )
    client.conversations.items.create(
        conversation.id, items=[{"type": "message", "role": "assistant", "content": "Hello Ada"}]
    )
    response = _ask(client, "What is my name?", conversation=conversation.id)
    assert response.conversation.id == conversation.id
    assert response.output_text.startswith("Your name is Ada.")
    listed: list[Any] = list(client.conversations.items.list(conversation.id, order="asc", limit=1))
    texts = [item.content[0].text for item in listed]
    assert texts == ["My name is Ada", "Hello Ada", "What is my name?", response.output_text]
    assert listed[-1].id == response.output[0].id
    assert client.conversations.retrieve(conversation.id).metadata == {"topic": "names"}
    assert client.conversations.update(conversation.id, metadata={"topic": "Ada"}).metadata == {"topic": "Ada"}
    client.conversations.items.delete(listed[0].id, conversation_id=conversation.id)
    assert [item.id for item in client.conversations.items.list(conversation.id)] == [
        item.id for item in reversed(listed[1:])
    ]
    assert client.conversations.delete(conversation.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(conversation.id)


def test_input_items_are_listed_by_pages(client: openai.OpenAI) -> None:
    said: Any = [{"role": "user", "content": f"number {number}"} for number in range(5)]
    response = client.responses.create(model="demo-fast", input=said)
    pages: list[Any] = list(client.responses.input_items.list(response.id, limit=2, order="asc"))
    assert [item.content[0].text for item in pages] == [each["content"] for each in said]
    backwards: list[Any] = list(client.responses.input_items.list(response.id, limit=2))
    assert [item.id for item in backwards] == [item.id for item in reversed(pages)]


def test_a_deleted_response_is_gone(client: openai.OpenAI) -> None:
    response = _ask(client, TEXT)
    client.responses.delete(response.id)
    for request in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            request(response.id)


def test_a_format_reaches_the_model(client: openai.OpenAI, http: Any, installation: Any) -> None:
    schema: dict[str, object] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    text = "A format that reaches the model"
    client.responses.create(
        model="demo-fast",
        input=text,
        text={"format": {"type": "json_schema", "name": "person", "schema": schema, "strict": True}},
    )
    asked = [
        each for each in http.get(f"{installation.demo.root_url}/requests").json()["requests"] if text in str(each)
    ]
    assert [each["response_format"] for each in asked] == [
        {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    ]


class Person(BaseModel):
    """What the answer is to be."""

    name: str


def test_an_answer_in_a_format_is_parsed(client: openai.OpenAI) -> None:
    said = Person(name="Ada")
    text = said.model_dump_json()
    response = client.responses.parse(model="demo-echo", input=text, text_format=Person)
    assert response.output_parsed == said
    with client.responses.stream(model="demo-echo", input=text, text_format=Person) as stream:
        assert stream.get_final_response().output_parsed == said
    messages: Any = [{"role": "user", "content": text}]
    completion = client.chat.completions.parse(model="demo-echo", messages=messages, response_format=Person)
    assert completion.choices[0].message.parsed == said


def test_chat_completions_answer_in_choices_and_in_chunks(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": TEXT}]
    whole = client.chat.completions.create(model="demo-fast", messages=messages, n=2)
    assert [choice.index for choice in whole.choices] == [0, 1]
    texts = ["", ""]
    totals = []
    chunks = client.chat.completions.create(
        model="demo-fast", messages=messages, n=2, stream=True, stream_options={"include_usage": True}
    )
    for chunk in chunks:
        totals.append(chunk.usage)
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert totals[:-1] == [None] * (len(totals) - 1)
    assert totals[-1] == whole.usage


def test_the_helper_for_chat_streams_and_gives_the_completion(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="demo-fast", messages=[{"role": "user", "content": TEXT}]) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == text
    assert completion.choices[0].finish_reason == "stop"


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "demo-fast" in names
    assert client.models.retrieve("demo-fast").id == "demo-fast"
