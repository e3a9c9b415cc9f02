"""Forking: a conversation's past copied into a new one, which goes its own way from there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from shared.database.models import conversations, is_live, messages, replies
from shared.errors import InvalidValue, NotFound
from shared.ids import new_conversation_id, new_message_id, new_reply_id
from shared.reply_status import TERMINAL
from shared.store import endings
from shared.store.conversations import Kind

# Rows held in memory at a time.
CHUNK = 500
# Copying more would keep all others from writing for more than a second.
MAX_MESSAGES = 10_000
_OWN = frozenset({"next_turn", "version"})
# Feedback was given once, to the reply itself; and a copy has not ended here, and cost nothing.
_NOT_COPIED = dict.fromkeys(("feedback_rating", "feedback_comment", "feedback_at", "uncounted_end"))


def fork(
    connection: Connection,
    tenant_id: str,
    conversation_id: str,
    *,
    up_to_turn: int | None,
    now: int,
    kind: Kind | None = None,
) -> str:
    """Copies the settings, and the messages and ended replies of the first turns (None: of all). Returns the new id.

    A reply that is still live is not copied; its turn then ends with what the user said. The copy is of the same
    kind unless another one is wanted.

    Raises:
        NotFound: the tenant has no such conversation.
        InvalidValue: it has not so many turns, or too many messages to be copied.
    """
    row = _locked(connection, tenant_id, conversation_id)
    up_to = _last_copied(connection, row, up_to_turn)
    new_id = new_conversation_id()
    kept = {name: value for name, value in row._mapping.items() if name not in _OWN}  # noqa: SLF001  public, says the manual
    connection.execute(
        insert(conversations),
        {
            **kept,
            "id": new_id,
            "kind": kind or row.kind,
            "next_turn": up_to + 1,
            "created_at": now,
            "updated_at": now,
        },
    )
    new_ids = _copy_replies(connection, conversation_id, new_id, up_to=up_to)
    _copy_messages(connection, conversation_id, new_id, up_to=up_to, reply_ids=new_ids)
    _settle(connection, conversation_id, new_id)
    return new_id


def _locked(connection: Connection, tenant_id: str, conversation_id: str) -> Row[Any]:
    """The conversation, locked against a new turn, so that what is copied is of one moment."""
    row = connection.execute(
        select(conversations)
        .where(conversations.c.tenant_id == tenant_id, conversations.c.id == conversation_id)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such conversation.")
    return row


def _last_copied(connection: Connection, row: Row[Any], up_to_turn: int | None) -> int:
    """The turn up to which the conversation is copied, once it is known that so much can be."""
    last: int = row.next_turn - 1
    if up_to_turn is not None and up_to_turn > last:
        raise InvalidValue(f"The conversation's last turn is {last}.", pointer="#/up_to_turn")
    up_to = last if up_to_turn is None else up_to_turn
    copied = (messages.c.conversation_id == row.id) & (messages.c.turn <= up_to)
    if connection.execute(select(func.count()).select_from(messages).where(copied)).scalar_one() > MAX_MESSAGES:
        raise InvalidValue(f"More than {MAX_MESSAGES} messages cannot be copied.", pointer="#/up_to_turn")
    return up_to


def _settle(connection: Connection, source: str, target: str) -> None:
    """Where a live candidate stayed behind, the copy goes on from what its siblings have.

    Turns are answered in order: behind the first live one none has any text.
    """
    first_live = select(func.min(replies.c.turn)).where(replies.c.conversation_id == source, is_live(replies))
    turn = connection.execute(first_live).scalar_one()
    if turn is not None:
        endings.settle(connection, target, turn)


def _copy_replies(connection: Connection, source: str, target: str, *, up_to: int) -> dict[str, str]:
    """Copies the ended ones, without their attempts, which were paid for once; returns old ids with new ones."""
    found = connection.execute(
        select(replies).where(
            replies.c.conversation_id == source, replies.c.turn <= up_to, replies.c.status.in_(TERMINAL)
        )
    ).mappings()
    new_ids: dict[str, str] = {}
    for rows in found.partitions(CHUNK):
        new_ids |= {row["id"]: new_reply_id() for row in rows}
        copies = [
            {**row, **_NOT_COPIED, "id": new_ids[row["id"]], "conversation_id": target, "request": _copied(row)}
            for row in rows
        ]
        _insert(connection, replies, copies)
    return new_ids


def _copied(row: Any) -> dict[str, Any] | None:
    """What the request said, and that this is only there to be read on from: no client knows its id."""
    return None if row["request"] is None else {**row["request"], "is_copy": True}


def _copy_messages(connection: Connection, source: str, target: str, *, up_to: int, reply_ids: dict[str, str]) -> None:
    found = connection.execute(
        select(messages).where(messages.c.conversation_id == source, messages.c.turn <= up_to)
    ).mappings()
    for rows in found.partitions(CHUNK):
        copies = [
            {**row, "id": new_message_id(), "conversation_id": target, "reply_id": reply_ids.get(row["reply_id"])}
            for row in rows
        ]
        _insert(connection, messages, copies)


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
