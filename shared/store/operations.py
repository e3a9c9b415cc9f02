"""What an operator looks at: what a tenant has under way, and what became of what it asked lately.

Nothing here reads more than the replies that are live, or those accepted lately by their ids, which sort by time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, Select, bindparam, case, func, literal_column, select

from shared.database.models import attempts, is_live, is_unanswered, replies
from shared.store.replies import IS_EPHEMERAL, TURNS_AHEAD

# What each live reply waits for, in the words of its `queue`; those that a worker has wait for nothing.
_state = case(
    (replies.c.status == literal_column("'in_progress'"), "nothing"),
    (replies.c.waits_for_turn, "turn"),
    (replies.c.available_at > bindparam("now"), "retry"),
    else_="worker",
).label("state")
_of_tenant = replies.c.tenant_id == bindparam("tenant_id")
_COUNT_LIVE = select(_state, func.count().label("live")).where(_of_tenant, is_live(replies)).group_by(_state)

# Those that are being answered before those that wait, each in order.
_LIVE = (
    select(replies.c.id)
    .where(_of_tenant, is_live(replies), ~IS_EPHEMERAL)
    .order_by(replies.c.status, replies.c.id)
    .limit(bindparam("limit"))
)
_lately = (_of_tenant, replies.c.id >= bindparam("since"))
_FAILED = (
    select(replies.c.id)
    .where(*_lately, replies.c.status == literal_column("'failed'"), is_unanswered(replies), ~IS_EPHEMERAL)
    .order_by(replies.c.id.desc())
    .limit(bindparam("limit"))
)
_ACCEPTED: Select[Any] = (
    select(replies.c.id, replies.c.created_at, replies.c.finished_at, replies.c.status, replies.c.error_code)
    .where(*_lately)
    .order_by(replies.c.id.desc())
    .limit(bindparam("limit"))
)
_TRIES: Select[Any] = (
    select(
        *(attempts.c[name] for name in ("attempt", "started_at", "ended_at", "error_code", "first_token_ms")),
        replies.c.created_at,
    )
    .select_from(replies.join(attempts, attempts.c.reply_id == replies.c.id))
    .where(*_lately)
)
_SHOWN = select(
    *(
        replies.c[name]
        for name in (
            *("id", "conversation_id", "turn", "candidate", "status", "model", "attempt", "worker_id"),
            *("stop_requested", "error_code", "error_message", "error_retryable", "available_at"),
            *("created_at", "started_at", "finished_at"),
        )
    ),
    TURNS_AHEAD.label("turns_ahead"),
).where(replies.c.id.in_(bindparam("ids", expanding=True)))
_ATTEMPTS = (
    select(attempts)
    .where(attempts.c.reply_id.in_(bindparam("ids", expanding=True)))
    .order_by(attempts.c.reply_id, attempts.c.attempt)
)


def count_live(connection: Connection, tenant_id: str, *, now: int) -> Mapping[str, int]:
    """How many replies wait for a `worker`, an earlier `turn` or a `retry`; `nothing` are those that run."""
    return {row.state: row.live for row in connection.execute(_COUNT_LIVE, {"tenant_id": tenant_id, "now": now})}


def live(connection: Connection, tenant_id: str, *, limit: int) -> list[RowMapping]:
    """Replies that are still to end: those that run, then those that wait, each in order."""
    return _shown(connection, list(connection.execute(_LIVE, {"tenant_id": tenant_id, "limit": limit}).scalars()))


def failed(connection: Connection, tenant_id: str, *, since: str, limit: int) -> list[RowMapping]:
    """Failed replies from this id on, the newest first."""
    given = {"tenant_id": tenant_id, "since": since, "limit": limit}
    return _shown(connection, list(connection.execute(_FAILED, given).scalars()))


def attempts_of(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[RowMapping]]:
    """Every try at these replies, by their ids, the first one first."""
    found: dict[str, list[RowMapping]] = {reply_id: [] for reply_id in ids}
    for row in connection.execute(_ATTEMPTS, {"ids": list(ids)}).mappings():
        found[row["reply_id"]].append(row)
    return found


def accepted(connection: Connection, tenant_id: str, *, since: str, limit: int) -> Sequence[Row[Any]]:
    """The newest replies from this id on: when each was accepted and ended, and how."""
    return connection.execute(_ACCEPTED, {"tenant_id": tenant_id, "since": since, "limit": limit}).all()


def tries(connection: Connection, tenant_id: str, *, since: str) -> Sequence[Row[Any]]:
    """Every try at the replies from this id on, with when the reply was accepted."""
    return connection.execute(_TRIES, {"tenant_id": tenant_id, "since": since}).all()


def _shown(connection: Connection, ids: list[str]) -> list[RowMapping]:
    """These replies, in this order, without what is said in them."""
    if not ids:
        return []
    rows = {row["id"]: row for row in connection.execute(_SHOWN, {"ids": ids}).mappings()}
    return [rows[reply_id] for reply_id in ids]
