"""Erasing conversations with all that hangs on them: what goes along, how much at once, and whom to tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    delete,
    func,
    select,
)

from shared.clock import now_ms
from shared.database.models import (
    attempts,
    conversations,
    idempotency_keys,
    messages,
    replies,
    search_documents,
    webhook_deliveries,
)
from shared.errors import NotFound
from shared.messaging import reply_events
from shared.messaging.reply_events import Cursor, Event
from shared.reply_status import LIVE, ReplyStatus
from shared.store import conversations as conversation_rows
from shared.store import endings, prompts, search_index, usage

# A write that takes out more messages would make others wait.
ROWS_AT_ONCE = 500
CONVERSATIONS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Erased:
    """What one transaction erased: how many of what, and whom to tell.

    `running` are replies whose workers are to hear of it; `events` say of each live reply, with its conversation,
    that it ended.
    """

    counts: Mapping[str, int]
    conversation_ids: Sequence[str]
    reply_ids: Sequence[str]
    running: Sequence[str]
    events: Sequence[tuple[str, Event]]


NOTHING_ERASED = Erased({}, (), (), (), ())


def _among(column: ColumnElement[str]) -> ColumnElement[bool]:
    return column.in_(bindparam("ids", expanding=True))


_LOCKED = select(conversations.c.id).where(_among(conversations.c.id)).order_by(conversations.c.id).with_for_update()
_LOCKED_UNCHANGED = _LOCKED.where(conversations.c.updated_at < bindparam("before"))
_REPLIES = select(replies.c.id, replies.c.conversation_id, replies.c.token, replies.c.status).where(
    _among(replies.c.conversation_id)
)
_SIZES = (
    select(messages.c.conversation_id, func.count().label("rows"))
    .where(_among(messages.c.conversation_id))
    .group_by(messages.c.conversation_id)
)
# The turn up to which one write should erase a conversation that has more than that.
_LONG = (
    select(messages.c.turn)
    .where(messages.c.conversation_id == bindparam("of_id"))
    .order_by(messages.c.turn, messages.c.position)
    .limit(1)
    .offset(bindparam("rows"))
)
_DELETE = delete(conversations).where(_among(conversations.c.id))
_DELETE_KEYS = delete(idempotency_keys).where(_among(idempotency_keys.c.conversation_id))


def _count(table: Table, column: ColumnElement[str]) -> Select[int]:
    return select(func.count()).select_from(table).where(_among(column))


# What goes with a conversation by itself, and is counted before.
_WITH_IT: Mapping[str, Select[int]] = {
    "messages": _count(messages, messages.c.conversation_id),
    "attempts": select(func.count())
    .select_from(attempts.join(replies, replies.c.id == attempts.c.reply_id))
    .where(_among(replies.c.conversation_id)),
    "webhook_deliveries": _count(webhook_deliveries, webhook_deliveries.c.conversation_id),
}


def erase_one(
    connection: Connection, tenant_id: str, conversation_id: str, *, prompt_tokens: int = prompts.USUAL_TOKENS
) -> Erased:
    """Erases a conversation with its messages, replies and attempts; of a long one, its first turns.

    Keys that made something in it are known for as long as any, so that a late repeat makes nothing new.

    Raises:
        NotFound: the tenant has no such conversation.
    """
    # Locked, so that of two who erase it at once one finds nothing.
    own = (
        select(conversations.c.id)
        .where(conversations.c.tenant_id == tenant_id, conversations.c.id == conversation_id)
        .with_for_update()
    )
    if connection.execute(own).first() is None:
        raise NotFound("There is no such conversation.")
    return erase(connection, [conversation_id], prompt_tokens=prompt_tokens)


def erase(
    connection: Connection,
    conversation_ids: Collection[str],
    *,
    unchanged_since: int | None = None,
    keys: bool = False,
    prompt_tokens: int = prompts.USUAL_TOKENS,
) -> Erased:
    """Erases those of the conversations that are there, with `unchanged_since` only where nothing happened since.

    Of a long one, which is to come alone, only the first turns are erased: again and again, until it is short.

    `keys` takes along the idempotency keys that made something in them. What was used there stays counted; of what is
    under way it is estimated, up to `prompt_tokens` of a prompt.
    """
    ids = _locked(connection, conversation_ids, unchanged_since)
    if not ids:
        return NOTHING_ERASED
    if len(ids) == 1:
        last_turn = connection.execute(_LONG, {"of_id": ids[0], "rows": ROWS_AT_ONCE}).scalar_one_or_none()
        if last_turn is not None:
            usage.count_erased(connection, ids, last_turn=last_turn, prompt_tokens=prompt_tokens, now=now_ms())
            return _shorten(connection, ids[0], last_turn)
    usage.count_erased(connection, ids, prompt_tokens=prompt_tokens, now=now_ms())
    found = connection.execute(_REPLIES, {"ids": ids}).all()
    counts = {"conversations": len(ids), "replies": len(found)}
    counts |= {name: connection.execute(query, {"ids": ids}).scalar_one() for name, query in _WITH_IT.items()}
    if keys:
        counts["idempotency_keys"] = connection.execute(_DELETE_KEYS, {"ids": ids}).rowcount
    with _overwriting(connection, ids):
        connection.execute(_DELETE, {"ids": ids})
    return _told(found, counts, ids)


def _shorten(connection: Connection, conversation_id: str, last_turn: int) -> Erased:
    """Erases the turns up to this one. Its readers learn that it has changed."""
    conversation_rows.bump(connection, [conversation_id])
    early = {
        table: (table.c.conversation_id == conversation_id) & (table.c.turn <= last_turn)
        for table in (messages, replies)
    }
    found = connection.execute(
        select(replies.c.id, replies.c.conversation_id, replies.c.token, replies.c.status).where(early[replies])
    ).all()
    tries = select(func.count()).select_from(attempts.join(replies, replies.c.id == attempts.c.reply_id))
    counts = {"replies": len(found), "attempts": connection.execute(tries.where(early[replies])).scalar_one()}
    with _overwriting(connection, [conversation_id]):
        counts["messages"] = connection.execute(delete(messages).where(early[messages])).rowcount
        connection.execute(delete(replies).where(early[replies]))
    endings.call_next_turn(connection, conversation_id)
    return _told(found, counts, ())


def _told(found: Sequence[Any], counts: Mapping[str, int], conversation_ids: Sequence[str]) -> Erased:
    """What was erased, with whom to tell of the replies that were `found`."""
    return Erased(
        counts,
        conversation_ids,
        [row.id for row in found],
        [row.id for row in found if row.status == ReplyStatus.IN_PROGRESS],
        [_end_of(row.conversation_id, row.id, row.token) for row in found if row.status in LIVE],
    )


def _locked(connection: Connection, conversation_ids: Collection[str], unchanged_since: int | None) -> list[str]:
    """Those of the conversations that are to be erased, locked against asks, claims and ends until the commit."""
    ids = sorted(conversation_ids)
    if unchanged_since is None:
        return list(connection.execute(_LOCKED, {"ids": ids}).scalars())
    return list(connection.execute(_LOCKED_UNCHANGED, {"ids": ids, "before": unchanged_since}).scalars())


@contextmanager
def _overwriting(connection: Connection, conversation_ids: Sequence[str]) -> Iterator[None]:
    """What is deleted of the conversations meanwhile is overwritten in SQLite's file, not only forgotten there."""
    if connection.dialect.name != "sqlite":
        yield
        return
    search_index.note_removal(connection, search_documents.c.conversation_id.in_(conversation_ids))
    connection.exec_driver_sql("PRAGMA secure_delete=ON")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")


def _end_of(conversation_id: str, reply_id: str, token: int) -> tuple[str, Event]:
    """For whoever listens, it ended."""
    return conversation_id, reply_events.moved(reply_id, Cursor(token + 1, 0), ReplyStatus.CANCELLED)


def helping(connection: Connection, conversation_ids: Sequence[str]) -> Sequence[str]:
    """The first of the conversations, as many as one write should erase; at least one."""
    rows = {row.conversation_id: row.rows for row in connection.execute(_SIZES, {"ids": list(conversation_ids)})}
    taken = 0
    for number, conversation_id in enumerate(conversation_ids):
        taken += rows.get(conversation_id, 0)
        if taken > ROWS_AT_ONCE and number:
            return conversation_ids[:number]
    return conversation_ids
