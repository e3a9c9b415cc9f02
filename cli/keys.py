"""`asyncchat keys`: making the first key, and looking after all of them, with the database alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from api.rendering import Row
from api.services.keys import MadeKey, make
from cli.migration import bring_up_to_date
from shared.api_keys import Scope
from shared.clock import DAY_MS, now_ms
from shared.database.engine import open_engine, parse_url, sqlite_path
from shared.errors import AsyncChatError
from shared.reply_body import instant
from shared.settings import get_settings
from shared.store import keys
from shared.store.budgets import Limits

P = ParamSpec("P")
T = TypeVar("T")

LISTED = 1000


def create_key(
    *, tenant: str, name: str, scopes: Collection[Scope], days: float | None, limits: Limits | None = None
) -> MadeKey:
    """A new key, with a budget if it has `limits`; the tables are made if need be."""
    expires_at = None if days is None else now_ms() + int(days * DAY_MS)
    bring_up_to_date(get_settings().database_url)
    return _in_transaction(
        make,
        tenant,
        name=name,
        scopes=scopes,
        expires_at=expires_at,
        pepper=get_settings().key_pepper,
        limits=limits,
    )


def missing_file() -> Path | None:
    """The SQLite file that the settings name and that there is not yet."""
    path = sqlite_path(parse_url(get_settings().database_url))
    return None if path is None or path.exists() else path


def has_key(database_url: str) -> bool:
    """Whether there is a key that is good."""
    engine = open_engine(parse_url(database_url), read_only=True)
    try:
        with engine.connect() as connection:
            return keys.has_any(connection, now=now_ms())
    finally:
        engine.dispose()


def revoke_key(key_id: str) -> None:
    """The key is no good any more.

    Raises:
        AsyncChatError: there is no such key.
    """
    if not _in_transaction(keys.revoke, None, key_id, now=now_ms()):
        raise AsyncChatError(f"there is no key {key_id}; `asyncchat keys list` shows them all")


def list_keys() -> Sequence[Row]:
    """All keys, newest first."""
    return _in_transaction(keys.of_tenant, None, limit=LISTED, after=None)


def table_of(rows: Sequence[Row]) -> Iterator[str]:
    """A line for each key."""
    for row in rows:
        state = _state(row)
        yield f"{row['id']}  {row['tenant_id']}  {'+'.join(row['scopes'])}  {state}  {row['name']}"


def _state(row: Row) -> str:
    if row["revoked_at"] is not None:
        return f"revoked {instant(row['revoked_at'])}"
    if row["expires_at"] is None:
        return "good"
    return f"{'expired' if row['expires_at'] <= now_ms() else 'good until'} {instant(row['expires_at'])}"


def _in_transaction(function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    engine = open_engine(parse_url(get_settings().database_url), read_only=False)
    try:
        with engine.begin() as connection:
            return function(connection, *args, **kwargs)
    finally:
        engine.dispose()
