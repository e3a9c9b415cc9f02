"""Everything that is stored, for whoever judges an installation afterwards. Nothing here serves requests."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, Select, inspect, select

from shared.database.models import attempts, messages, replies

_MESSAGES = select(
    messages.c.id,
    messages.c.conversation_id,
    messages.c.turn,
    messages.c.role,
    messages.c.content,
    messages.c.reply_id,
).order_by(messages.c.conversation_id, messages.c.turn, messages.c.position)
_REPLIES = select(
    *(
        replies.c[name]
        for name in (
            *("id", "conversation_id", "turn", "candidate", "status", "model", "selected", "partial"),
            *("error_code", "incomplete_reason", "deadline_at", "finished_at"),
        )
    )
).order_by(replies.c.conversation_id, replies.c.turn, replies.c.candidate)
_ATTEMPTS = select(
    attempts.c.reply_id,
    attempts.c.attempt,
    attempts.c.worker_id,
    attempts.c.started_at,
    attempts.c.ended_at,
    attempts.c.outcome,
).order_by(attempts.c.reply_id, attempts.c.attempt)


def table_names(connection: Connection) -> list[str]:
    """Every table there is, ours or not."""
    return inspect(connection).get_table_names()


def all_messages(connection: Connection) -> Sequence[RowMapping]:
    """Every message, in the order of its conversation."""
    return _rows(connection, _MESSAGES)


def all_replies(connection: Connection) -> Sequence[RowMapping]:
    """Every reply."""
    return _rows(connection, _REPLIES)


def all_attempts(connection: Connection) -> Sequence[RowMapping]:
    """Every try at a reply."""
    return _rows(connection, _ATTEMPTS)


def damage(connection: Connection) -> str | None:
    """What SQLite's own check of the whole file complains of. None if nothing, or on a server."""
    if connection.dialect.name != "sqlite":
        return None
    found = str(connection.exec_driver_sql("PRAGMA integrity_check").scalar_one())
    return None if found == "ok" else found


def _rows(connection: Connection, query: Select[tuple[object, ...]]) -> Sequence[RowMapping]:
    return connection.execute(query).mappings().all()
