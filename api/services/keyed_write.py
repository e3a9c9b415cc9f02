"""Writes that an Idempotency-Key makes safe to repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, Generic, ParamSpec, TypeVar

from sqlalchemy import Connection

from shared.clock import now_ms
from shared.database.access import Database
from shared.errors import RequestError
from shared.store import idempotency
from shared.store.idempotency import KeyedRequest, KeyTaken

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Made(Generic[T]):
    """What a write made, or had made before under the same key."""

    result: T
    is_new: bool


@dataclass(frozen=True, slots=True)
class Making(Generic[T]):
    """How to make a resource, what it is called in the key's row, and how to find it again by that."""

    resource_type: str
    make: Callable[[Connection], T]
    id_of: Callable[[T], str]
    find: Callable[[Connection, str], T]


async def write_once(database: Database, keyed: KeyedRequest | None, making: Making[T]) -> Made[T]:
    """Makes the resource in one transaction with its key, or finds what the key made before, in its present state.

    Raises:
        IdempotencyMismatch: the key was used for another request.
        NotFound: what the key made is gone.
        StorageError: it was not stored, or nobody knows.
    """
    return await write_again_if_taken(database, make_once, keyed, making)


async def write_again_if_taken(
    database: Database,
    function: Callable[Concatenate[Connection, P], Made[T]],
    *arguments: P.args,
    **keywords: P.kwargs,
) -> Made[T]:
    """Writes, and once more where another gateway stored the key since the first transaction looked: it is found then.

    Raises what `write_once` raises.
    """
    try:
        return await database.write(function, *arguments, **keywords)
    except KeyTaken:
        return await database.write(function, *arguments, **keywords)


def make_once(connection: Connection, keyed: KeyedRequest | None, making: Making[T]) -> Made[T]:
    """Makes the resource, or finds what the key made before.

    Raises:
        KeyTaken: another gateway stored the key just now.
        IdempotencyMismatch: the key was used for another request.
        NotFound: what the key made is gone.
    """
    if keyed is None:
        return Made(making.make(connection), is_new=True)
    now = now_ms()
    found = idempotency.find(connection, keyed, now=now)
    if found is not None:
        return Made(making.find(connection, found), is_new=False)
    try:
        result = making.make(connection)
    except RequestError:
        if idempotency.find(connection, keyed, now=now) is not None:
            # What is in the way is what the same request made just now, on another gateway.
            raise KeyTaken from None
        raise
    idempotency.remember(
        connection,
        keyed,
        resource_type=making.resource_type,
        resource_id=making.id_of(result),
        now=now,
    )
    return Made(result, is_new=True)
