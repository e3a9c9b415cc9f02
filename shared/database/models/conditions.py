"""What partial indexes are about: each condition as the index has it, and for the statements that are to go by it.

Values are spelled out because SQLite takes a partial index only for a condition it can read.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, FromClause, literal_column

IN_LINE = "status = 'queued' and waits_for_turn = false"
RUNNING = "status = 'in_progress'"
LIVE = "status in ('queued', 'in_progress')"
UNANSWERED = "status in ('incomplete', 'failed', 'cancelled')"
UNCOUNTED = "uncounted_day is not null"
PENDING = "status = 'pending'"
FAILED = "status = 'failed'"


def is_queued(rows: FromClause) -> ColumnElement[bool]:
    """Of those that are to end, those that nobody holds."""
    return rows.c.status == literal_column("'queued'")


def is_in_line(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial indexes on queued replies that are not known to wait for an earlier turn."""
    return is_queued(rows) & (rows.c.waits_for_turn == literal_column("false"))


def is_running(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial indexes on replies and deliveries that a worker holds."""
    return rows.c.status == literal_column("'in_progress'")


def is_unanswered(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial index on replies that ended without their whole text."""
    return rows.c.status.in_(
        [literal_column("'incomplete'"), literal_column("'failed'"), literal_column("'cancelled'")]
    )


def is_live(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial indexes on replies that are still to end."""
    return rows.c.status.in_([literal_column("'queued'"), literal_column("'in_progress'")])


def is_pending(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial index on deliveries that are still to be tried."""
    return rows.c.status == literal_column("'pending'")


def in_no_index(column: ColumnElement[str]) -> ColumnElement[str]:
    """The same text, which no index has: where SQLite, which knows of no sizes, would go by the wrong index.

    It likes to go through all that a tenant has in the order that is wanted, to find the few rows that are.
    """
    return column + ""
