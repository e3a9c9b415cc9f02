"""Tables that check, at the end of every test, that no reply ever made a move it may not make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.database.engine import open_engine, parse_url
from tests.integration.shared.rows import Tables


@pytest.fixture
def tables(database_url: str) -> Iterator[Tables]:
    with open_engine(parse_url(database_url), read_only=False).connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        # Nothing here is about disks.
        is_sqlite = connection.dialect.name == "sqlite"
        driver.execute("pragma synchronous=off" if is_sqlite else "set synchronous_commit = off")
        tables = Tables(connection)
        tables.record_moves()
        yield tables
        tables.check_moves()
