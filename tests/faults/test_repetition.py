"""The same thing asked for many times happens once."""

from __future__ import annotations

import asyncio
import random

import httpx2
import pytest

from shared.messaging.doorbell import Doorbell
from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import judge
from tests.fixtures.settings import settings_with
from tests.fixtures.valkey import Valkey

pytestmark = pytest.mark.anyio

quick = pytest.mark.quick
# What of a turn's replies moves on between two answers.
LIVE_FIELDS = frozenset(
    {"status", "content", "attempt", "selected", "message_id", "usage", "queue", "started_at", "finished_at"}
)


@pytest.mark.parametrize("seed", [pytest.param(1, marks=quick), 2, 3])
async def test_each_doorbell_is_rung_ten_times(
    installation: Installation, client: Client, valkey: Valkey, chance: random.Random
) -> None:
    await installation.start()
    doorbell = Doorbell(settings_with(redis_url=valkey.url))
    doorbell.start()

    async def ask_and_ring() -> None:
        accepted = await client.ask_anew(model=chance.choice(["demo-fast", "demo-300ms"]), n=chance.randint(1, 3))
        for _ in range(10):
            doorbell.ring(accepted.reply_ids)
            await asyncio.sleep(0)

    await asyncio.gather(*(ask_and_ring() for _ in range(20)))
    books = await judge(installation, client)
    assert set(books.outcomes) == {"completed"}
    assert {row["attempt"] for row in books.replies} == {1}
    await asyncio.to_thread(doorbell.stop)


def _lasting(answer: httpx2.Response) -> dict[str, object]:
    """The body without what moves on."""
    turn = answer.json()
    replies = [{key: value for key, value in reply.items() if key not in LIVE_FIELDS} for reply in turn["replies"]]
    return {**turn, "replies": replies}


@quick
async def test_fifty_equal_posts_at_once_on_two_gateways_make_one_turn(
    installation: Installation, client: Client
) -> None:
    await installation.start()
    path = f"/conversations/{await client.start(model='demo-fast')}/ask-message/"
    for round_ in range(5):
        body, headers = {"content": f"Hello, I am Ada {round_}", "n": 2}, {"Idempotency-Key": f"once-{round_}"}
        answers = await asyncio.gather(
            *(client.http.post(installation.urls[i % 2] + path, json=body, headers=headers) for i in range(50))
        )
        assert {answer.status_code for answer in answers} <= {200, 202}
        first = _lasting(answers[0])
        assert first["turn"] == round_ + 1
        assert all(_lasting(answer) == first for answer in answers)
        assert len({answer.headers["Location"] for answer in answers if answer.status_code == 202}) <= 1
    books = await judge(installation, client)
    assert books.outcomes == {"completed": 10}
