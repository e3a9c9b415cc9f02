"""Messages: what was said, in order of turn and position."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, or_, select, tuple_

from shared.database.models import messages, replies, search_documents
from shared.database.prepared import Prepared, PreparedRows
from shared.store import search_index
from shared.store.conversations import Order

_ADD = PreparedRows.inserting(insert(messages), *messages.c.keys())
_NEWEST_FIRST = (messages.c.turn.desc(), messages.c.position.desc())
_PLACE = tuple_(messages.c.turn, messages.c.position)

# Most prompts fit in this many; a longer one reads on.
_HISTORY_AT_ONCE = 64
# What the model is shown: what was said before the turn, with the one answer of each turn that continues from it.
_HISTORY = Prepared(
    select(messages.c.turn, messages.c.role, messages.c.content, messages.c.position)
    .select_from(messages.outerjoin(replies, replies.c.id == messages.c.reply_id))
    .where(
        messages.c.conversation_id == bindparam("conversation_id"),
        _PLACE <= tuple_(bindparam("turn"), bindparam("position")),
        or_(messages.c.reply_id.is_(None), replies.c.selected),
    )
    .order_by(*_NEWEST_FIRST)
    .limit(_HISTORY_AT_ONCE)
)

_OF_TURN = Prepared(
    select(messages).where(
        messages.c.conversation_id == bindparam("conversation_id"),
        messages.c.turn == bindparam("turn"),
        messages.c.position == 0,
    )
)
_LINE = (
    select(messages)
    .select_from(messages.outerjoin(replies, replies.c.id == messages.c.reply_id))
    .where(or_(messages.c.reply_id.is_(None), replies.c.selected))
)


def add(connection: Connection, values: Sequence[Mapping[str, Any]]) -> None:
    """Inserts messages; each has every column."""
    _ADD.run(connection, values)


def page(
    connection: Connection,
    conversation_id: str,
    *,
    limit: int,
    before: tuple[int, int] | None = None,
    after: tuple[int, int] | None = None,
) -> Sequence[RowMapping]:
    """Up to `limit` messages in ascending order.

    With `after` the first ones behind that `(turn, position)`, else the last ones, or the last ones before `before`.
    """
    query = select(messages).where(messages.c.conversation_id == conversation_id)
    if before is not None:
        query = query.where(_PLACE < tuple_(*before))
    if after is not None:
        query = query.where(_PLACE > tuple_(*after))
        ascending = query.order_by(messages.c.turn, messages.c.position).limit(limit)
        return connection.execute(ascending).mappings().all()
    return connection.execute(query.order_by(*_NEWEST_FIRST).limit(limit)).mappings().all()[::-1]


def line(
    connection: Connection, conversation_id: str, *, limit: int, after: tuple[int, int] | None, order: Order
) -> Sequence[RowMapping]:
    """Up to `limit` messages that the conversation goes on from, behind a `(turn, position)`: of the candidates of a
    turn, only the selected one.
    """
    query = _LINE.where(messages.c.conversation_id == conversation_id)
    if after is not None:
        query = query.where(_PLACE < tuple_(*after) if order == "desc" else _PLACE > tuple_(*after))
    places = _NEWEST_FIRST if order == "desc" else (messages.c.turn, messages.c.position)
    return connection.execute(query.order_by(*places).limit(limit)).mappings().all()


def said_in(connection: Connection, conversation_id: str, *, first: int, last: int) -> Sequence[RowMapping]:
    """What was said in these turns, without the answers."""
    query = select(messages).where(
        messages.c.conversation_id == conversation_id,
        messages.c.turn.between(first, last),
        messages.c.reply_id.is_(None),
    )
    return connection.execute(query.order_by(messages.c.turn, messages.c.position)).mappings().all()


def get(connection: Connection, conversation_id: str, message_id: str) -> RowMapping | None:
    """The message, or None if the conversation has no such one."""
    query = select(messages).where(messages.c.conversation_id == conversation_id, messages.c.id == message_id)
    return connection.execute(query).mappings().one_or_none()


def remove(connection: Connection, message_id: str) -> None:
    """Takes the message out of its conversation."""
    search_index.note_removal(connection, search_documents.c.message_id == message_id)
    connection.execute(delete(messages).where(messages.c.id == message_id))


def of_turn(connection: Connection, conversation_id: str, turn: int) -> Mapping[str, Any] | None:
    """The message that opened the turn."""
    return _OF_TURN.mapping(connection, {"conversation_id": conversation_id, "turn": turn})


def first_of_user(connection: Connection, conversation_id: str) -> str | None:
    """What a user said first, or None."""
    query = select(messages.c.content).where(messages.c.conversation_id == conversation_id, messages.c.role == "user")
    return connection.execute(query.order_by(messages.c.turn).limit(1)).scalar_one_or_none()


def history(connection: Connection, conversation_id: str, turn: int) -> Generator[tuple[int, str, str]]:
    """`(turn, role, content)` of what the answer to `turn` follows from, newest first. Read only what is needed."""
    up_to = {"turn": turn, "position": 0}
    while True:
        rows = _HISTORY.all(connection, {"conversation_id": conversation_id, **up_to})
        for row in rows:
            yield row.turn, row.role, row.content
        if len(rows) < _HISTORY_AT_ONCE:
            return
        up_to = {"turn": rows[-1].turn, "position": rows[-1].position - 1}
