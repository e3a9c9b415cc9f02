"""Messages over HTTP."""

from __future__ import annotations

import pytest

from tests.integration.api.gateway import Gateway, PlayedWorker

pytestmark = pytest.mark.anyio


async def _conversation_with(gateway: Gateway, count: int) -> str:
    path = f"/conversations/{await gateway.new_conversation()}/messages/"
    for number in range(count):
        role = "assistant" if number % 2 else "user"
        answer = await gateway.client.post(path, json={"role": role, "content": str(number)})
        assert answer.status_code == 201
    return path


async def test_an_appended_message_asks_for_nothing(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/"
    answer = await gateway.client.post(f"{path}messages/", json={"role": "system", "content": "Speak French."})
    assert answer.status_code == 201
    message = answer.json()
    assert (message["role"], message["turn"], message["reply_id"]) == ("system", 1, None)
    shown = await gateway.get(path)
    assert shown["messages"] == [message]
    assert shown["live_replies"] == []


async def test_an_answer_is_a_message_of_its_turn(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id)
    await worker.answer_all("Hello, Ada")
    data = (await gateway.get(f"/conversations/{conversation_id}/messages/"))["data"]
    assert [(message["role"], message["turn"], message["content"]) for message in data] == [
        ("user", 1, "Hello, I am Ada"),
        ("assistant", 1, "Hello, Ada"),
    ]
    assert data[1]["reply_id"] == turn["replies"][0]["id"]


async def test_pages_lead_back_in_time(gateway: Gateway) -> None:
    url: str | None = f"{await _conversation_with(gateway, 5)}?limit=2"
    pages = []
    while url:
        answer = await gateway.client.get(url)
        pages.append([message["content"] for message in answer.json()["data"]])
        url = answer.links.get("next", {}).get("url")
    assert pages == [["3", "4"], ["1", "2"], ["0"]]


async def test_with_after_pages_lead_forwards(gateway: Gateway) -> None:
    path = await _conversation_with(gateway, 6)
    newest = await gateway.get(f"{path}?limit=5")
    # What leads back before message 1 leads forwards behind it.
    url: str | None = f"{path}?limit=2&after={newest['next_cursor']}"
    pages = []
    while url:
        answer = await gateway.client.get(url)
        pages.append([message["content"] for message in answer.json()["data"]])
        url = answer.links.get("next", {}).get("url")
    assert pages == [["2", "3"], ["4", "5"]]


@pytest.mark.parametrize(
    "cursor", ["x", "", "🙂", "WyJjIiwxLCJ4Il0", "bnVsbA", "W10", "a" * 500, "WyJtIiwtMSwwXQ", "%00"]
)
@pytest.mark.parametrize("parameter", ["before", "after"])
async def test_a_cursor_of_no_such_list_is_refused(gateway: Gateway, parameter: str, cursor: str) -> None:
    path = await _conversation_with(gateway, 1)
    answer = await gateway.client.get(f"{path}?{parameter}={cursor}")
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_cursor"
    assert answer.json()["errors"][0]["pointer"] == f"?{parameter}"
