"""What is PostgreSQL's own: how to connect, which failures mean "again", and who migrates first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import URL, Connection, func, select
from sqlalchemy.exc import DBAPIError

from shared.database import driver

DRIVER = "postgresql+psycopg"

# As the server itself counts them: in a text with many parameters psycopg would look for their names each time.
PARAMETER_STYLE = "numeric_dollar"

# Whoever holds a row here holds it for milliseconds, unless its process was stopped. A call that waits so long for one
# is put aside: it holds up nobody, and two transactions that want each other's rows part before PostgreSQL's deadlock
# check after a second. From then on the rest of its batch waits next to nothing.
WRITER_LOCK_TIMEOUT = "250ms"
REST_LOCK_TIMEOUT = "10ms"
# What was put aside is tried again by itself until this long has passed.
LOCK_SECONDS = 5.0
# No statement of ours takes anything like this; one that hangs must not hold its locks for ever.
STATEMENT_TIMEOUT = "30s"
IDLE_IN_TRANSACTION_TIMEOUT = "30s"
CONNECT_SECONDS = 5
UNACKNOWLEDGED_MS = 25_000

# PostgreSQL, appendix A, error codes.
_LOCK_NOT_AVAILABLE = "55P03"
_DEADLOCK_DETECTED = "40P01"
_SERIALIZATION_FAILURE = "40001"
# Any number that nobody else uses on this database.
_MIGRATION_LOCK = 7_318_021_946


def connect_arguments() -> dict[str, Any]:
    """For psycopg and libpq. A dead server is noticed by keep-alives or by what it leaves unacknowledged."""
    settings = {
        "lock_timeout": f"{LOCK_SECONDS:g}s",
        "statement_timeout": STATEMENT_TIMEOUT,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT,
        "synchronous_commit": "on",
        "timezone": "UTC",
    }
    return {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        # Keep-alives are silent while an answer is awaited; without this a write waits a quarter of an hour then.
        "tcp_user_timeout": UNACKNOWLEDGED_MS,
        "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
        "application_name": "asyncchat",
    }


def with_driver(url: URL) -> URL:
    """The URL with psycopg 3 as its driver, whichever of the usual spellings it came in."""
    return url.set(drivername=DRIVER)


def number_parameters(connection: Any, _record: object) -> None:
    """Makes a new connection of the driver take texts in `PARAMETER_STYLE`."""
    from psycopg import RawCursor, RawServerCursor  # Where the database is a file, nobody waits for the driver.

    connection.cursor_factory, connection.server_cursor_factory = RawCursor, RawServerCursor


def wait_briefly(connection: Any, _record: object) -> None:
    """Makes a new connection of the driver, on which many wait for what one waits for, not wait long for locks."""
    connection.execute(f"SET lock_timeout = '{WRITER_LOCK_TIMEOUT}'")
    connection.commit()


def hardly_wait_for_locks(connection: Connection) -> None:
    """For the rest of the transaction."""
    driver.execute(connection, f"SET LOCAL lock_timeout = '{REST_LOCK_TIMEOUT}'")


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a row stayed locked for too long; only the savepoint it happened in is lost."""
    return _state(error) == _LOCK_NOT_AVAILABLE


def is_conflict(error: BaseException) -> bool:
    """Whether the transaction was chosen to lose against another and would do as well the next time."""
    return _state(error) in {_DEADLOCK_DETECTED, _SERIALIZATION_FAILURE}


def _state(error: BaseException) -> str | None:
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None


def hold_off_other_migrations(connection: Connection) -> None:
    """Lets one migration of a database run at a time, for the rest of its transaction."""
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))


def lock_tables(connection: Connection, tables: Sequence[str]) -> None:
    """Keeps everybody else from writing to them for the rest of the transaction; reading goes on."""
    connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE")
