"""Ten thousand replies are queued: workers still find what is due, and listings still answer."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, func, select

from shared.database.models import messages, replies
from shared.reply_status import ReplyStatus
from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.patience import until
from tests.fixtures.chats import Chats

pytestmark = pytest.mark.anyio

QUEUED = 10_000
ASKED_AT_ONCE = 50
# So many of them in each conversation, and how many answers are waited for.
SHAPES = [pytest.param(QUEUED, 50, id="one conversation"), pytest.param(2, 1_000, id="many conversations")]


async def _fill(chats: Chats, conversations: list[str], *, turns: int) -> None:
    places = [(conversation_id, turn) for conversation_id in conversations for turn in range(turns)]
    for first in range(0, len(places), ASKED_AT_ONCE):
        batch = places[first : first + ASKED_AT_ONCE]
        asking = (chats.ask(each, f"Hello, I am Ada {turn}", deadline_seconds=3_600) for each, turn in batch)
        await asyncio.gather(*asking)


def _count(connection: Connection, status: ReplyStatus) -> int:
    return int(connection.execute(select(func.count()).where(replies.c.status == status)).scalar_one())


def _answered_out_of_order(connection: Connection) -> list[object]:
    """Answers to turns before which there is one without an answer."""
    earlier = replies.alias()
    waiting = select(earlier.c.id).where(
        earlier.c.conversation_id == messages.c.conversation_id,
        earlier.c.turn < messages.c.turn,
        earlier.c.status != ReplyStatus.COMPLETED,
    )
    return list(connection.execute(select(messages.c.id).where(messages.c.role == "assistant", waiting.exists())))


@pytest.mark.parametrize(("turns", "answers"), SHAPES)
async def test_ten_thousand_queued_replies_hold_up_nothing(
    turns: int, answers: int, *, installation: Installation, client: Client
) -> None:
    chats = Chats(installation.database)
    conversations = [await chats.start() for _ in range(QUEUED // turns)]
    await _fill(chats, conversations, turns=turns)
    await installation.start()

    async def some_are_answered() -> bool:
        page = await client.get("/replies/?status=queued&limit=100")
        assert len(page["data"]) == 100
        assert (await client.get(f"/conversations/{conversations[0]}/?messages=10"))["live_replies"] is not None
        return await installation.database.read(_count, ReplyStatus.COMPLETED) >= answers

    await until(some_are_answered)
    assert await installation.database.read(_answered_out_of_order) == []
    assert await installation.database.read(_count, ReplyStatus.FAILED) == 0
    # Who comes new is not behind all of them: that is another conversation.
    if len(conversations) == 1:
        asked = await client.ask_anew("Hello, I am Ada", model="demo-fast")
        assert (await client.get(f"/replies/{asked.reply_ids[0]}/?wait=50"))["status"] == ReplyStatus.COMPLETED
