"""Reading and writing a database directly, in this process: for what a query costs, without HTTP around it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from bench.installation import fresh_database
from shared.database.engine import open_engine, parse_url, prepare_sqlite, sqlite_path
from shared.database.schema import migrate


@contextmanager
def stored(database_url: str | None, fill: Callable[[Connection], object]) -> Iterator[Connection]:
    """A connection that reads a database of its own, which `fill` has filled."""
    with (
        tempfile.TemporaryDirectory(prefix="asyncchat-bench-") as folder,
        fresh_database(Path(folder), database_url) as named,
    ):
        migrate(named)
        url = parse_url(named)
        if path := sqlite_path(url):
            prepare_sqlite(path)
        engine = open_engine(url, read_only=False)
        with engine.connect() as connection:
            fill(connection)
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("vacuum analyze")
        with open_engine(url, read_only=True).connect() as connection:
            yield connection


def timed(connection: Connection, read: Callable[[Connection], object], *, times: int) -> list[float]:
    """How long each read took, in microseconds, in a transaction of its own."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        with connection.begin():
            read(connection)
        took.append(1e6 * (time.perf_counter() - began))
    return took
