"""What the gateways show of the conversations of a run: waiting until all has ended, and reading it all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from cli.verify.client import Client
from cli.verify.history import History
from cli.verify.stored import Message, Reply, Stored, message_of_json, reply_of_json

T = TypeVar("T")

AT_ONCE = 16
WAIT_SECONDS = 5.0
PAGE = 100


async def until_all_ended(client: Client, conversation_ids: Iterable[str], *, seconds: float) -> bool:
    """Whether no reply of these conversations is live any more, within the bound."""
    give_up_at = time.monotonic() + seconds

    async def ends(number: int, conversation_id: str) -> bool:
        while True:
            path = f"/conversations/{conversation_id}/"
            answer = await client.get(path, first=number, wait=WAIT_SECONDS)
            if not answer.is_success or not answer.body["live_replies"]:
                return True
            if time.monotonic() > give_up_at:
                return False
            number += 1

    return all(await _each(conversation_ids, ends))


async def read_all(client: Client, history: History) -> Stored:
    """Everything that was accepted, asked of one gateway after the other; what cannot be read is left out."""
    turns = history.turns

    async def read(number: int, conversation_id: str) -> tuple[list[Message], list[Reply]]:
        path = f"/conversations/{conversation_id}"
        page = await client.get(f"{path}/messages/?limit={PAGE}", first=number)
        messages = [message_of_json(each) for each in page.body["data"]] if page.is_success else []
        replies = []
        for turn in turns[conversation_id]:
            shown = await client.get(f"{path}/turns/{turn}/", first=number + turn)
            replies += [reply_of_json(each) for each in shown.body["replies"]] if shown.is_success else []
        return messages, replies

    found = await _each(turns, read)
    return Stored(
        messages=[message for messages, _ in found for message in messages],
        replies=[reply for _, replies in found for reply in replies],
    )


async def _each(ids: Iterable[str], do: Callable[[int, str], Awaitable[T]]) -> list[T]:
    """For every id, some at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, each: str) -> T:
        async with room:
            return await do(number, each)

    return list(await asyncio.gather(*(one(number, each) for number, each in enumerate(ids))))
