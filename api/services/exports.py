"""Exports: conversations as JSON lines, read a page at a time while they are sent."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Any

import orjson

from api.dependencies import Resources
from api.rendering import Row, attempt_dict, conversation_head, delivery_dict, message_dict
from shared.errors import AsyncChatError, NotFound, StorageError
from shared.reply_body import reply_dict
from shared.store import attempts, conversations, messages, replies, usage, webhook_deliveries
from shared.store.usage import SUMS

log = logging.getLogger(__name__)

# Each row may have a long text.
ROWS_AT_ONCE = 50
EPOCH_DAY = date(1970, 1, 1).toordinal()

Lines = AsyncIterator[bytes]


def _written(kind: str, shown: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"type": kind, **shown}) + b"\n"


async def told_to_the_end(lines: Lines) -> Lines:
    """The lines, and a last one of the type `error` if they cannot be told to the end: the answer has long begun."""
    try:
        async for line in lines:
            yield line
    except (NotFound, StorageError) as error:
        log.warning("an export was broken off: %s", error)
        yield _written("error", {"code": _code_of(error), "detail": str(error)})


def _code_of(error: AsyncChatError) -> str:
    return error.code if isinstance(error, NotFound) else "storage_unavailable"


async def conversation_lines(resources: Resources, tenant_id: str, head: Row) -> Lines:
    """A line for the conversation, each of its messages and each of its replies.

    Raises:
        NotFound: it was deleted meanwhile.
        StorageError: the database did not answer.
    """
    yield _written("conversation", conversation_head(head))
    async for rows in _messages(resources, head["id"]):
        yield b"".join(_written("message", message_dict(row)) for row in rows)
    async for rows in _replies(resources, tenant_id, head["id"]):
        yield b"".join(_written("reply", reply_dict(row)) for row in rows)
    if await resources.database.read(conversations.get, tenant_id, head["id"]) is None:
        raise NotFound("The conversation was deleted while it was exported.")


async def end_user_lines(resources: Resources, tenant_id: str, end_user: str, first: Sequence[Row]) -> Lines:
    """All that there is of an end user: of each conversation the same lines, and one for each try at a reply and each
    delivery of a webhook; at last what was used on each day.

    `first` are the first conversations. What is deleted meanwhile is left out from there on.

    Raises:
        StorageError: the database did not answer.
    """
    heads: Sequence[Row] = first
    while heads:
        for head in heads:
            yield _written("conversation", {**conversation_head(head), "kind": head["kind"]})
            async for rows in _messages(resources, head["id"]):
                yield b"".join(_written("message", {**message_dict(row), "parts": row["parts"]}) for row in rows)
            async for rows in _replies(resources, tenant_id, head["id"]):
                yield b"".join(_written("reply", _whole_reply(row)) for row in rows)
                for row in rows:
                    tries = await resources.database.read(attempts.of_reply, row["id"])
                    yield b"".join(_written("attempt", _whole_attempt(each)) for each in tries)
            async for rows in _deliveries(resources, head["id"]):
                yield b"".join(_written("delivery", {**delivery_dict(row), "payload": row["payload"]}) for row in rows)
        heads = await next_of(resources, tenant_id, end_user, after=heads[-1]["id"])
    async for rows in _usage(resources, tenant_id, end_user):
        yield b"".join(_written("usage", _usage_of_day(row)) for row in rows)


async def next_of(resources: Resources, tenant_id: str, end_user: str, *, after: str | None) -> Sequence[Row]:
    """The next conversations of the end user, in the order in which they were made."""
    return await resources.database.read(
        conversations.of_end_user, tenant_id, end_user, limit=ROWS_AT_ONCE, after=after
    )


def _whole_reply(row: Row) -> dict[str, Any]:
    """The reply, also with what was asked of it."""
    return {**reply_dict(row), **{name: row[name] for name in ("parameters", "instructions", "request")}}


def _whole_attempt(row: Row) -> dict[str, Any]:
    """The try, also with what was said in it if that is not the reply's text."""
    return {"reply_id": row["reply_id"], **attempt_dict(row), "content": row["text"]}


def _usage_of_day(row: Row) -> dict[str, Any]:
    day = date.fromordinal(EPOCH_DAY + row["day"]).isoformat()
    return {
        "day": day,
        "model": row["model"],
        "key_id": row["key_id"] or None,
        **{str(name): row[name] for name in SUMS},
    }


async def _deliveries(resources: Resources, conversation_id: str) -> AsyncIterator[Sequence[Row]]:
    after: str | None = None
    while rows := await resources.database.read(
        webhook_deliveries.of_conversation, conversation_id, limit=ROWS_AT_ONCE, after=after
    ):
        yield rows
        after = rows[-1]["id"]


async def _usage(resources: Resources, tenant_id: str, end_user: str) -> AsyncIterator[Sequence[Row]]:
    after: tuple[int, str, str] | None = None
    while end_user and (
        rows := await resources.database.read(
            usage.days_of_end_user, tenant_id, end_user, limit=ROWS_AT_ONCE, after=after
        )
    ):
        yield rows
        after = (rows[-1]["day"], rows[-1]["model"], rows[-1]["key_id"])


async def _messages(resources: Resources, conversation_id: str) -> AsyncIterator[Sequence[Row]]:
    place = (0, -1)
    while rows := await resources.database.read(messages.page, conversation_id, limit=ROWS_AT_ONCE, after=place):
        yield rows
        place = (rows[-1]["turn"], rows[-1]["position"])


async def _replies(resources: Resources, tenant_id: str, conversation_id: str) -> AsyncIterator[Sequence[Row]]:
    after: str | None = None
    while rows := await resources.database.read(
        replies.page, tenant_id, limit=ROWS_AT_ONCE, after=after, statuses=(), conversation_id=conversation_id
    ):
        yield rows
        after = rows[-1]["id"]
