"""A gateway is killed when a message is stored and its client has not heard of it."""

from __future__ import annotations

import pytest

from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import judge

pytestmark = [pytest.mark.anyio, pytest.mark.quick]

BETWEEN_COMMIT_AND_RING = "api.ask.committed"


async def _start(installation: Installation) -> None:
    """The first gateway dies at its first ask."""
    installation.add_gateway(fault=BETWEEN_COMMIT_AND_RING)
    await installation.start(gateways=1, workers=1)


async def test_a_repeat_on_another_gateway_finds_the_one_turn(installation: Installation, client: Client) -> None:
    await _start(installation)
    conversation_id = await client.start(model="demo-fast")
    while installation.gateways[0].is_running:
        await client.ask(conversation_id)
    assert client.turned_away.total() == 1
    books = await judge(installation, client)
    turns = range(1, len(client.accepted) + 1)
    said = sorted((row["turn"], row["role"]) for row in books.messages)
    assert said == [(turn, role) for turn in turns for role in ("assistant", "user")]


async def test_without_a_repeat_the_message_is_answered_all_the_same(
    installation: Installation, client: Client
) -> None:
    """Nobody rang for it: a worker finds it by itself."""
    await _start(installation)
    doomed, other = installation.gateways
    answer = await client.http.post(f"{other.url}/conversations/", json={"model": "demo-fast"})
    path = f"/conversations/{answer.json()['id']}"
    with pytest.raises(ConnectionError):
        await client.send_once(f"{doomed.url}{path}/ask-message/", {"content": "Hello, I am Ada"})
    await doomed.ended()
    assert doomed.was_killed
    found = await client.get(f"{path}/?wait=20")
    assert [message["role"] for message in found["messages"]] == ["user", "assistant"]
    await judge(installation, client)
