"""Idempotency keys: the same request twice makes one thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, String, bindparam, column, delete, exists, func, select, values
from sqlalchemy.dialects import postgresql, sqlite

from shared.database.models import idempotency_keys
from shared.database.prepared import Prepared, PreparedRows
from shared.errors import IdempotencyMismatch

# A write that takes out more would make others wait.
FORGET_AT_ONCE = 500

_this = (
    idempotency_keys.c.tenant_id == bindparam("of_tenant"),
    idempotency_keys.c.key == bindparam("of_key"),
)
_FIND = Prepared(
    select(
        idempotency_keys.c.method,
        idempotency_keys.c.path,
        idempotency_keys.c.request_hash,
        idempotency_keys.c.resource_id,
        idempotency_keys.c.created_at,
    ).where(*_this)
)


def _knowing(length: int) -> Select[Any]:
    """Which of so many there are: one after the other, by the primary key. For a list SQLite 3.40 looks at all keys."""
    names = ("tenant_id", "key")
    asked = (
        values(*(column(name, String) for name in names))
        .data([tuple(bindparam(f"{name}_{number}") for name in names) for number in range(length)])
        .cte("asked")
    )
    stored = exists().where(idempotency_keys.c.tenant_id == asked.c.tenant_id, idempotency_keys.c.key == asked.c.key)
    return select(asked.c.tenant_id, asked.c.key).where(stored)


_KNOWN = PreparedRows(_knowing, may_repeat=True)
# The keys that were stored are asked for, since not every driver counts the rows of an insert.
_REMEMBER = {
    name: PreparedRows.inserting(
        dialect.insert(idempotency_keys).on_conflict_do_nothing().returning(idempotency_keys.c.key),
        *idempotency_keys.c.keys(),
    )
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}


class KeyTaken(Exception):
    """Another process stored the same key just now. Doing the whole write again finds its resource."""


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request that carries an Idempotency-Key. `request_hash` is over its body."""

    tenant_id: str
    key: str
    method: str
    path: str
    request_hash: str
    lifetime_ms: int


def find(connection: Connection, request: KeyedRequest, *, now: int) -> str | None:
    """The id of what the same request made before, or None if the key is new, or so old that it is forgotten.

    Raises:
        IdempotencyMismatch: the key was used for another method, path or body.
    """
    this = {"of_tenant": request.tenant_id, "of_key": request.key}
    row = _FIND.one_or_none(connection, this)
    if row is None:
        return None
    if row.created_at <= now - request.lifetime_ms:
        connection.execute(delete(idempotency_keys).where(*_this), this)
        return None
    if (row.method, row.path, row.request_hash) != (request.method, request.path, request.request_hash):
        raise IdempotencyMismatch("This Idempotency-Key was already used for another request. Use a new key for each.")
    return str(row.resource_id)


def known(connection: Connection, requests: Sequence[KeyedRequest]) -> set[tuple[str, str]]:
    """Those of the requests' `(tenant_id, key)` that there is something of, however old."""
    whose = [{"tenant_id": request.tenant_id, "key": request.key} for request in requests]
    return {tuple(row) for row in _KNOWN.all(connection, whose)}


def remember(connection: Connection, request: KeyedRequest, *, resource_type: str, resource_id: str, now: int) -> None:
    """Stores what the request made, in the transaction that made it.

    `resource_id` begins with the conversation, and goes on behind a slash.

    Raises:
        KeyTaken: another transaction stored the key since `find` looked.
    """
    remember_all(connection, [(request, resource_id)], resource_type=resource_type, now=now)


def remember_all(
    connection: Connection, made: Sequence[tuple[KeyedRequest, str]], *, resource_type: str, now: int
) -> None:
    """`remember` for several requests, each with the id of what it made.

    Raises:
        KeyTaken: another transaction stored one of the keys.
    """
    rows = [
        {
            "tenant_id": request.tenant_id,
            "key": request.key,
            "method": request.method,
            "path": request.path,
            "request_hash": request.request_hash,
            "resource_type": resource_type,
            "resource_id": resource_id,
            "created_at": now,
            "conversation_id": resource_id.partition("/")[0],
        }
        for request, resource_id in made
    ]
    if len(_REMEMBER[connection.dialect.name].all(connection, rows)) < len(rows):
        raise KeyTaken


def has_older(connection: Connection, *, before: int) -> bool:
    """Whether any key was stored before that instant."""
    return bool(connection.execute(select(exists().where(idempotency_keys.c.created_at <= before))).scalar_one())


def forget(connection: Connection, *, before: int) -> None:
    """Takes out keys that were stored before that instant, the oldest first, as many as one write should."""
    table = idempotency_keys.c
    oldest = select(table.created_at).where(table.created_at <= before).order_by(table.created_at).limit(FORGET_AT_ONCE)
    last = connection.execute(select(func.max(oldest.subquery().c.created_at))).scalar_one()
    if last is not None:
        connection.execute(delete(idempotency_keys).where(table.created_at <= last))
