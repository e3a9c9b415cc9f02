"""What all processes of an installation keep secret together, made by whoever needs it first."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from shared.database.models import shared_secrets

_BYTES = 32


def get_or_make(connection: Connection, name: str, *, now: int) -> str:
    """The secret of this name: 64 hexadecimal digits."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    fresh = {"name": name, "value": secrets.token_hex(_BYTES), "created_at": now}
    connection.execute(dialect.insert(shared_secrets).values(**fresh).on_conflict_do_nothing())
    value: str = connection.execute(select(shared_secrets.c.value).where(shared_secrets.c.name == name)).scalar_one()
    return value
