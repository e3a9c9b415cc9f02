"""What is said through one door is seen through the other, and what is not to be kept through none."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import openai
import pytest

from tests.fixtures.waiting import wait_for

TEXT = "My name is Ada"


def _native(http: httpx2.Client, path: str, **query: Any) -> Any:
    answer = http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _is_listed(http: httpx2.Client, path: str, of: str) -> bool:
    """Whether the newest of all there are tell this id."""
    return any(of == each["id"] for each in _native(http, path, limit=100)["data"])


def test_a_conversation_made_with_the_sdk_is_seen_natively(client: openai.OpenAI, http: httpx2.Client) -> None:
    conversation = client.conversations.create(metadata={"topic": "names"})
    response: Any = client.responses.create(model="demo-fast", input=TEXT, conversation=conversation.id)
    shown = _native(http, f"/conversations/{conversation.id}/")
    assert shown["metadata"] == {"topic": "names"}
    assert [(each["role"], each["content"]) for each in shown["messages"]] == [
        ("user", TEXT),
        ("assistant", response.output_text),
    ]
    reply = _native(http, f"/replies/{response.id.replace('resp_', 'reply_')}/")
    assert (reply["status"], reply["content"]) == ("completed", response.output_text)
    assert reply["message_id"] == response.output[0].id
    assert reply["usage"]["total_tokens"] == response.usage.total_tokens
    assert _is_listed(http, "/conversations/", conversation.id)
    assert _is_listed(http, "/replies/", reply["id"])


def test_a_native_conversation_is_seen_and_continued_with_the_sdk(client: openai.OpenAI, http: httpx2.Client) -> None:
    asked = {"model": "demo-fast", "message": {"content": TEXT}}
    created = http.post("/conversations/?wait=30", json=asked).json()
    reply = created["turn"]["replies"][0]
    response: Any = client.responses.retrieve(reply["id"].replace("reply_", "resp_"))
    assert (response.status, response.output_text) == ("completed", reply["content"])
    assert response.conversation.id == created["id"]
    items: list[Any] = list(client.conversations.items.list(created["id"], order="asc"))
    assert [item.content[0].text for item in items] == [TEXT, reply["content"]]
    follows = client.responses.create(model="demo-fast", input="What is my name?", conversation=created["id"])
    assert follows.output_text.startswith("Your name is Ada.")
    assert len(_native(http, f"/conversations/{created['id']}/")["messages"]) == 4


def test_a_native_reply_can_be_followed_by_its_id(client: openai.OpenAI, http: httpx2.Client) -> None:
    """What follows goes into a copy: the conversation stays as others see it."""
    asked = {"model": "demo-fast", "message": {"content": TEXT}}
    created = http.post("/conversations/?wait=30", json=asked).json()
    name = created["turn"]["replies"][0]["id"].replace("reply_", "resp_")
    follows = client.responses.create(model="demo-fast", input="What is my name?", previous_response_id=name)
    assert follows.output_text.startswith("Your name is Ada.")
    assert len(_native(http, f"/conversations/{created['id']}/")["messages"]) == 2


def test_a_response_is_cancelled_natively(client: openai.OpenAI, http: httpx2.Client) -> None:
    response = client.responses.create(model="demo-20000ms", input=TEXT, background=True)
    http.post(f"/replies/{response.id.replace('resp_', 'reply_')}/cancel/")
    assert wait_for(lambda: client.responses.retrieve(response.id).status == "cancelled")


@pytest.mark.anyio
async def test_turns_sent_at_once_into_one_conversation_are_queued_and_answered_in_order(
    async_client: openai.AsyncOpenAI, http: httpx2.Client
) -> None:
    conversation = await async_client.conversations.create()
    responses = [
        await async_client.responses.create(
            model="demo-300ms", input=text, conversation=conversation.id, background=True
        )
        for text in (TEXT, "What is my name?")
    ]
    third = await async_client.responses.create(
        model="demo-fast", input="How many exchanges?", conversation=conversation.id
    )
    texts = [(await async_client.responses.retrieve(response.id)).output_text for response in responses]
    assert texts[0].startswith("Hello Ada")
    assert texts[1] == "Your name is Ada. This is our second exchange."
    assert third.output_text == "This is our third exchange."
    roles = [each["role"] for each in _native(http, f"/conversations/{conversation.id}/")["messages"]]
    assert sorted(roles) == ["assistant"] * 3 + ["user"] * 3


@pytest.mark.anyio
async def test_of_turns_that_come_at_the_same_moment_none_is_refused(async_client: openai.AsyncOpenAI) -> None:
    conversation = await async_client.conversations.create()
    responses = await asyncio.gather(
        *(
            async_client.responses.create(
                model="demo-fast", input="How many exchanges were there?", conversation=conversation.id
            )
            for _ in range(3)
        )
    )
    assert sorted(response.output_text.partition(" I am")[0] for response in responses) == [
        f"This is our {which} exchange." for which in ("first", "second", "third")
    ]


def test_what_is_not_to_be_stored_is_in_no_list_of_conversations_and_not_retrievable(
    client: openai.OpenAI, http: httpx2.Client
) -> None:
    before = _native(http, "/conversations/", limit=100)["data"]
    response = client.responses.create(model="demo-fast", input=TEXT, store=False)
    assert response.status == "completed"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="demo-fast", input=TEXT, previous_response_id=response.id)
    assert _native(http, "/conversations/", limit=100)["data"] == before


def test_chat_completions_are_in_no_list_of_conversations_and_not_retrievable(
    client: openai.OpenAI, http: httpx2.Client
) -> None:
    before = _native(http, "/conversations/", limit=100)["data"]
    completion = client.chat.completions.create(model="demo-fast", messages=[{"role": "user", "content": TEXT}])
    bare = completion.id.removeprefix("chatcmpl-")
    assert _native(http, "/conversations/", limit=100)["data"] == before
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(f"resp_{bare}")


def test_the_reply_of_what_is_not_to_be_stored_is_in_no_list(client: openai.OpenAI, http: httpx2.Client) -> None:
    response = client.responses.create(model="demo-fast", input=TEXT, store=False)
    assert not _is_listed(http, "/replies/", response.id.replace("resp_", "reply_"))


def test_the_reply_of_a_chat_completion_is_in_no_list(client: openai.OpenAI, http: httpx2.Client) -> None:
    completion = client.chat.completions.create(model="demo-fast", messages=[{"role": "user", "content": TEXT}])
    assert not _is_listed(http, "/replies/", f"reply_{completion.id.removeprefix('chatcmpl-')}")
