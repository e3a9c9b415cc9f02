"""Messages: what was said, in order of turn and position."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, bindparam, insert, or_, select, tuple_

from shared.database.models import messages, replies

_INSERT = insert(messages)
_NEWEST_FIRST = (messages.c.turn.desc(), messages.c.position.desc())
_PLACE = tuple_(messages.c.turn, messages.c.position)

# What the model is shown: what was said before the turn, with the one answer of each turn that continues from it.
_HISTORY = (
    select(messages.c.turn, messages.c.role, messages.c.content)
    .select_from(messages.outerjoin(replies, replies.c.id == messages.c.reply_id))
    .where(
        messages.c.conversation_id == bindparam("conversation_id"),
        or_(
            messages.c.turn < bindparam("turn"),
            and_(messages.c.turn == bindparam("turn"), messages.c.position == 0),
        ),
        or_(messages.c.reply_id.is_(None), replies.c.selected),
    )
    .order_by(*_NEWEST_FIRST)
    # Most prompts fit in one batch; a longer one reads on, on PostgreSQL through a cursor on the server.
    .execution_options(yield_per=64)
)


def add(connection: Connection, values: Mapping[str, Any]) -> None:
    """Inserts one message; `values` has every column that has no default."""
    connection.execute(_INSERT, dict(values))


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


def of_turn(connection: Connection, conversation_id: str, turn: int) -> RowMapping | None:
    """The message that opened the turn."""
    query = select(messages).where(
        messages.c.conversation_id == conversation_id, messages.c.turn == turn, messages.c.position == 0
    )
    return connection.execute(query).mappings().one_or_none()


def first_of_user(connection: Connection, conversation_id: str) -> str | None:
    """What a user said first, or None."""
    query = select(messages.c.content).where(messages.c.conversation_id == conversation_id, messages.c.role == "user")
    return connection.execute(query.order_by(messages.c.turn).limit(1)).scalar_one_or_none()


def history(connection: Connection, conversation_id: str, turn: int) -> Generator[tuple[int, str, str]]:
    """`(turn, role, content)` of what the answer to `turn` follows from, newest first. Read only what is needed."""
    with connection.execute(_HISTORY, {"conversation_id": conversation_id, "turn": turn}) as result:
        for row in result:
            yield row.turn, row.role, row.content
