"""Whole tables, whatever is in them: for copying one database into another."""

from __future__ import annotations

from sqlalchemy import Connection, Table, exists, func, insert, select

from shared.database.models import DERIVED, metadata

# Rows held in memory at a time; each may have a long text.
CHUNK = 500

# Each after those it refers to. What is made from others is made there again.
ALL = [table for table in metadata.sorted_tables if table not in DERIVED]


def first_filled(connection: Connection) -> str | None:
    """The name of a table that has rows, or None if none has."""
    return next((table.name for table in ALL if connection.execute(select(exists(select(table)))).scalar_one()), None)


def copy(source: Connection, target: Connection, table: Table) -> None:
    """Inserts every row of the source's table into the target's."""
    with source.execute(select(table).execution_options(yield_per=CHUNK)) as result:
        for rows in result.mappings().partitions():
            target.execute(insert(table), [dict(row) for row in rows])


def count(connection: Connection, table: Table) -> int:
    """How many rows it has."""
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
