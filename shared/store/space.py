"""The room that a SQLite file takes up. Nothing here concerns a server, which sees to that by itself."""

from __future__ import annotations

from sqlalchemy import Connection

# A write that moves more would make others wait.
PAGES_AT_ONCE = 500
# Below this the file will need the room again soon.
WORTH_IT = 0.1
WORTH_IT_PAGES = 2000


def is_worth_giving_back(connection: Connection) -> bool:
    """Whether much of the file is unused, and the file can be made smaller."""
    if connection.dialect.name != "sqlite":
        return False
    free, total, mode = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("freelist_count", "page_count", "auto_vacuum")
    )
    return bool(mode) and free > max(WORTH_IT_PAGES, WORTH_IT * total)


def give_back(connection: Connection) -> None:
    """Makes the file some pages shorter."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
        # It moves a page with each row that is fetched, and its rows have no columns.
        cursor.fetchall()
    finally:
        cursor.close()
