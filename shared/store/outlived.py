"""Which conversations have outlived their use: in a while nothing has happened in them, and nothing is under way."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, exists, func, literal_column, select

from shared.database.models import conversations, is_live, replies
from shared.store import erasures

_is_idle = ~exists().where(replies.c.conversation_id == conversations.c.id, is_live(replies))
_OLD_EPHEMERAL = (
    select(conversations.c.id)
    .where(
        # Spelled out: SQLite takes a partial index only for a condition it can read.
        conversations.c.kind == literal_column("'ephemeral'"),
        conversations.c.updated_at < bindparam("before"),
        _is_idle,
    )
    .limit(bindparam("limit"))
)
_OLD = (
    select(conversations.c.id)
    .where(
        conversations.c.tenant_id == bindparam("of_tenant"),
        conversations.c.updated_at < bindparam("before"),
        _is_idle,
    )
    .order_by(conversations.c.updated_at)
    .limit(bindparam("limit"))
)
# From one tenant to the next through the index, however many conversations each has.
_first = select(func.min(conversations.c.tenant_id).label("tenant_id")).cte("tenants", recursive=True)
_next = (
    select(func.min(conversations.c.tenant_id))
    .where(conversations.c.tenant_id > _first.c.tenant_id)
    .correlate(_first)
    .scalar_subquery()
)
_tenants = _first.union_all(select(_next).where(_first.c.tenant_id.is_not(None)))
_TENANTS = select(_tenants.c.tenant_id).where(_tenants.c.tenant_id.is_not(None))


def ephemeral(connection: Connection, *, before: int) -> Sequence[str]:
    """Ephemeral conversations in which nothing has happened since, and nothing is under way."""
    found = connection.execute(_OLD_EPHEMERAL, {"before": before, "limit": erasures.CONVERSATIONS_AT_ONCE})
    return erasures.helping(connection, list(found.scalars()))


def of_any_kind(connection: Connection, *, before: int) -> Sequence[str]:
    """Conversations of any kind and tenant in which nothing has happened since, and nothing is under way."""
    for tenant_id in connection.execute(_TENANTS).scalars().all():
        whose = {"of_tenant": tenant_id, "before": before, "limit": erasures.CONVERSATIONS_AT_ONCE}
        if found := list(connection.execute(_OLD, whose).scalars()):
            return erasures.helping(connection, found)
    return ()
