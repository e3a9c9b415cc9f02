"""Conversations: rows, settings, pages, versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import (
    Connection,
    Row,
    RowMapping,
    bindparam,
    insert,
    select,
    tuple_,
    update,
)

from shared.database.models import conversations, in_no_index
from shared.database.prepared import Prepared

Order = Literal["asc", "desc"]
# `ephemeral` ones are kept for as long as their answer is fetched, and shown in no list.
Kind = Literal["chat", "ephemeral"]

_INSERT = Prepared(insert(conversations))
_BY_ID = Prepared(
    select(conversations).where(
        conversations.c.tenant_id == bindparam("tenant_id"), conversations.c.id == bindparam("conversation_id")
    )
)
_TOUCH = Prepared(
    update(conversations)
    .where(conversations.c.id == bindparam("conversation_id"))
    .values(version=conversations.c.version + 1, updated_at=bindparam("now"))
    .returning(conversations.c.next_turn)
)
_BUMP = Prepared(
    update(conversations)
    .where(conversations.c.id.in_(bindparam("conversation_ids", expanding=True)))
    .values(version=conversations.c.version + 1)
    .returning(conversations.c.id, conversations.c.instructions, conversations.c.end_user)
)
_VERSION = Prepared(select(conversations.c.version).where(conversations.c.id == bindparam("conversation_id")))
_VERSIONS = Prepared(
    select(conversations.c.id, conversations.c.version).where(
        conversations.c.id.in_(bindparam("conversation_ids", expanding=True))
    )
)


def create(connection: Connection, values: Mapping[str, Any]) -> None:
    """Inserts one conversation; `values` has every column that has no default."""
    _INSERT.run(connection, values)


def get(connection: Connection, tenant_id: str, conversation_id: str) -> Mapping[str, Any] | None:
    """The conversation, or None if the tenant has no such one."""
    return _BY_ID.mapping(connection, {"tenant_id": tenant_id, "conversation_id": conversation_id})


def page(
    connection: Connection,
    tenant_id: str,
    *,
    limit: int,
    after: tuple[int, str] | None,
    order: Order,
    end_user: str | None,
) -> Sequence[RowMapping]:
    """Up to `limit` conversations by last change, after the position `(updated_at, id)` of the page before."""
    table = conversations.c
    query = select(conversations).where(table.tenant_id == tenant_id, table.kind == "chat")
    if end_user is not None:
        query = query.where(table.end_user == end_user)
    key = tuple_(table.updated_at, table.id)
    if order == "desc":
        query = query.order_by(table.updated_at.desc(), table.id.desc())
    else:
        query = query.order_by(table.updated_at, table.id)
    if after is not None:
        query = query.where(key < tuple_(*after) if order == "desc" else key > tuple_(*after))
    return connection.execute(query.limit(limit)).mappings().all()


def page_by_id(
    connection: Connection, tenant_id: str, *, limit: int, after: str | None, order: Order
) -> Sequence[RowMapping]:
    """Up to `limit` conversations by the time they were made, behind this id, which need not be there any more."""
    table = conversations.c
    query = select(conversations).where(table.tenant_id == tenant_id, table.kind == "chat")
    if after is not None:
        query = query.where(table.id < after if order == "desc" else table.id > after)
    return (
        connection.execute(query.order_by(table.id.desc() if order == "desc" else table.id).limit(limit))
        .mappings()
        .all()
    )


def of_end_user(
    connection: Connection, tenant_id: str, end_user: str, *, limit: int, after: str | None
) -> Sequence[RowMapping]:
    """Up to `limit` conversations of any kind by the time they were made, behind this id."""
    table = conversations.c
    query = select(conversations).where(table.tenant_id == tenant_id, table.end_user == end_user)
    if after is not None:
        query = query.where(table.id > after)
    return connection.execute(query.order_by(in_no_index(table.id)).limit(limit)).mappings().all()


def change(
    connection: Connection, tenant_id: str, conversation_id: str, *, values: Mapping[str, Any], now: int
) -> RowMapping | None:
    """Sets the given columns and returns the conversation as it is then, or None if there is none."""
    table = conversations.c
    changed = connection.execute(
        update(conversations)
        .where(table.tenant_id == tenant_id, table.id == conversation_id)
        .values(**values, version=table.version + 1, updated_at=now)
        .returning(conversations)
    )
    return changed.mappings().one_or_none()


def touch(connection: Connection, conversation_id: str, *, now: int) -> int | None:
    """Records that a message or an end of a reply changed the conversation, and locks it until the commit.

    Returns its last turn, or None if it is gone.
    """
    next_turn: int | None = _TOUCH.scalar(connection, {"conversation_id": conversation_id, "now": now})
    return None if next_turn is None else next_turn - 1


def bump(connection: Connection, conversation_ids: Collection[str]) -> Sequence[Row[Any]]:
    """Records a change of status, which does not move the conversations up in the list.

    Returns of each what a claim has to know: `id`, `instructions`, `end_user`.
    """
    return _BUMP.all(connection, {"conversation_ids": sorted(conversation_ids)})


def version(connection: Connection, conversation_id: str) -> int | None:
    """The version of the conversation, or None if it is gone."""
    found: int | None = _VERSION.scalar(connection, {"conversation_id": conversation_id})
    return found


def versions(connection: Connection, conversation_ids: Collection[str]) -> dict[str, int]:
    """The version of each of the conversations that exist."""
    rows = _VERSIONS.all(connection, {"conversation_ids": list(conversation_ids)})
    return {row.id: row.version for row in rows}
