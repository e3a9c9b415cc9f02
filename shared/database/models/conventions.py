"""What all tables keep to: how constraints are named, what belongs together, and how a partial index is declared."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index, MetaData, text

# Used until there are several tenants.
DEFAULT_TENANT = "default"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def partial_index(name: str, *columns: Column[Any], where: str, unique: bool = False) -> None:
    """Declares an index, on either database, of the rows for which this SQL holds."""
    Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))
