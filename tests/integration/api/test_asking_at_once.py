"""What is asked at the same moment is stored together, and each ask ends as it would by itself."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from api.entry import admission
from api.entry.admission import Admission
from api.services.keyed_write import Made
from shared.database.calls import APART
from shared.database.models import DEFAULT_TENANT
from shared.reply_status import OnBusy
from shared.store import idempotency
from shared.store.idempotency import KeyedRequest, KeyTaken
from shared.store.turns import Ask, Where
from tests.fixtures.waiting import eventually
from tests.integration.api.gateway import Gateway

pytestmark = pytest.mark.anyio

HOUR = 3_600_000
HELLO = Ask("Hello", 1, None, "m", HOUR)
Asking = tuple[Where, Ask, KeyedRequest | None]


def keyed(key: str) -> KeyedRequest:
    return KeyedRequest(DEFAULT_TENANT, key, "POST", "/", "hash", HOUR)


async def asking(gateway: Gateway, asked: Ask = HELLO, key: str | None = None, **conversation: Any) -> Asking:
    """An ask in a conversation of its own."""
    conversation_id = await gateway.new_conversation(**conversation)
    return Where(DEFAULT_TENANT, conversation_id), asked, None if key is None else keyed(key)


async def together(gateway: Gateway, *asks: Asking) -> list[Any]:
    """For each whether it was made together with others."""

    def many(connection: Connection) -> list[Any]:
        return gateway.resources.asks.many(connection, asks)

    made = await gateway.resources.database.write(many)
    assert all(each is APART or (isinstance(each, Made) and each.is_new) for each in made)
    return [each is not APART for each in made]


async def stored(gateway: Gateway) -> int:
    return len((await gateway.get("/replies/?limit=100"))["data"])


async def test_plain_asks_are_stored_together(gateway: Gateway) -> None:
    asks = [await asking(gateway), await asking(gateway, replace(HELLO, n=3)), await asking(gateway, key="k")]
    assert await together(gateway, *asks) == [True, True, True]
    assert await stored(gateway) == 5


async def test_the_second_in_a_conversation_is_asked_behind_the_first(gateway: Gateway) -> None:
    first = await asking(gateway)
    assert await together(gateway, first, first, await asking(gateway)) == [True, False, True]


async def test_a_key_that_was_used_finds_what_it_made(gateway: Gateway) -> None:
    """Also where it is used twice in the same moment."""
    first, second = await asking(gateway, key="k"), await asking(gateway, key="k")
    assert await together(gateway, first, second) == [True, False]
    assert await together(gateway, first, await asking(gateway)) == [False, True]


async def test_a_key_that_another_gateway_stores_meanwhile_undoes_all(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await asking(gateway, key="k"), await asking(gateway)
    await together(gateway, first)
    monkeypatch.setattr(idempotency, "known", lambda *_: set())
    monkeypatch.setattr(admission, "COUNT_SECONDS", 60.0)
    counted = gateway.resources.admission._live.total()
    with pytest.raises(KeyTaken):
        await together(gateway, first, second)
    assert await stored(gateway) == 1
    assert gateway.resources.admission._live.total() == counted, "nor are they under way"


@pytest.mark.parametrize("on_busy", [OnBusy.INTERRUPT, OnBusy.REJECT])
async def test_who_would_not_wait_is_asked_alone(on_busy: OnBusy, gateway: Gateway) -> None:
    impatient = await asking(gateway, replace(HELLO, on_busy=on_busy))
    assert await together(gateway, impatient, await asking(gateway)) == [False, True]


async def test_a_conversation_that_is_not_there_takes_no_room(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[int] = []
    monkeypatch.setattr(Admission, "give_back", lambda _self, _tenant_id, count: given_back.append(count))
    unknown = (Where(DEFAULT_TENANT, "conv_none"), HELLO, keyed("k"))
    foreign = (replace((await asking(gateway))[0], tenant_id="another"), HELLO, None)
    assert await together(gateway, unknown, foreign, await asking(gateway)) == [False, False, True]
    assert given_back == [1, 1]


async def test_who_has_no_room_is_told_so_alone(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.resources.admission, "_most", 3)
    asks = [await asking(gateway, replace(HELLO, n=2)) for _ in range(2)]
    assert await together(gateway, *asks, await asking(gateway)) == [True, False, True]


async def test_who_has_no_budget_is_told_so_alone(gateway: Gateway) -> None:
    await gateway.client.put("/budgets/end-users/ada/", json={"tokens_per_day": 0})
    assert await together(gateway, await asking(gateway, end_user="ada"), await asking(gateway)) == [False, True]


async def test_each_of_many_at_once_gets_its_own_answer(gateway: Gateway) -> None:
    """Over HTTP, held up until all are there: plain ones, twins by their key, one in a conversation that is not."""
    conversations = [await gateway.new_conversation() for _ in range(8)]
    paths = [f"/conversations/{each}/ask-message/" for each in (*conversations, "conv_" + "0" * 26, conversations[0])]

    async def ask(path: str, number: int, **headers: str) -> tuple[int, Any]:
        answer = await gateway.client.post(path, json={"content": f"m{number}"}, headers=headers)
        return answer.status_code, answer.json()

    began, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold_up(_connection: Connection) -> None:
        loop.call_soon_threadsafe(began.set)
        go_on.wait(timeout=20)

    database = gateway.resources.database
    held_up = asyncio.ensure_future(database.write(hold_up))
    await began.wait()
    asks = [asyncio.ensure_future(ask(path, number)) for number, path in enumerate(paths)]
    asks += [asyncio.ensure_future(ask(paths[1], 99, **{"Idempotency-Key": "twin"})) for _ in range(2)]
    await eventually(lambda: database.writer.waiting == len(asks))
    go_on.set()
    await held_up
    ended = await asyncio.gather(*asks)
    assert [status for status, _ in ended] == [202] * 8 + [404, 202, 202, 202]
    for number, (_, turn) in enumerate(ended[:8]):
        assert (turn["conversation_id"], turn["message"]["content"]) == (conversations[number], f"m{number}")
    assert [turn["turn"] for _, turn in ended[:8]] == [1] * 8
    assert ended[9][1]["turn"] == 2
    assert ended[10][1]["replies"][0]["id"] == ended[11][1]["replies"][0]["id"]
    assert await stored(gateway) == 10
