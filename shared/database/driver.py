"""The driver's own cursor of a connection, for what runs too often to go through all that SQLAlchemy can do.

What it raises is what SQLAlchemy would raise, and who listens to `before_cursor_execute` hears of it as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

Parameters = Sequence[Any]

# Where a connection keeps its cursor: on PostgreSQL a new one costs half as much as a statement.
_CURSOR = "shared.database.driver"


def execute(connection: Connection, text: str, parameters: Parameters | None = None) -> Any:
    """Runs the statement in the transaction that the connection is in. Returns its cursor, to be read before the next.

    PostgreSQL takes several statements in one text, where there are no parameters.

    Raises:
        DBAPIError: the driver's failure. A connection that was lost is invalidated, as by SQLAlchemy's own execute.
    """
    cursor = _cursor(connection)
    for listener in connection.dispatch.before_cursor_execute:
        listener(connection, cursor, text, parameters, None, False)
    try:
        if parameters is None:
            cursor.execute(text)
        else:
            cursor.execute(text, parameters)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _translated(connection, cursor, error, text) from error
    return cursor


def _cursor(connection: Connection) -> Any:
    info = connection.info  # The driver's connection's own: gone with it.
    if _CURSOR not in info:
        info[_CURSOR] = connection.connection.cursor()
    return info[_CURSOR]


def _translated(connection: Connection, cursor: Any, error: Any, text: str) -> BaseException:
    dialect = connection.dialect
    base = dialect.loaded_dbapi.Error
    is_lost = dialect.is_disconnect(error, connection.connection, cursor)
    if is_lost:
        connection.invalidate(error)
    translated: BaseException = DBAPIError.instance(
        text, None, error, base, hide_parameters=True, connection_invalidated=is_lost, dialect=dialect
    )
    return translated
