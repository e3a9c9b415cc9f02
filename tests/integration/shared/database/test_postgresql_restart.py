"""A PostgreSQL that is killed and started again under a process that uses it."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest
from sqlalchemy import Connection

from shared.database.access import READER_THREADS, Database
from shared.database.schema import migrate
from shared.errors import StorageUnavailable
from shared.store import workers
from tests.fixtures.databases import postgresql_server

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]

AT_ONCE_SECONDS = 5.0


async def _read_by_every_thread(database: Database) -> list[dict[str, int]]:
    def slowly(connection: Connection) -> dict[str, int]:
        found = workers.beats(connection)
        connection.exec_driver_sql("select pg_sleep(0.05)")  # So that each thread gets one.
        return found

    return await asyncio.gather(*(database.read(slowly) for _ in range(READER_THREADS)))


async def test_a_server_that_was_killed_is_told_of_at_once_and_used_again_once_it_is_back() -> None:
    with postgresql_server() as server:
        url = f"postgresql://postgres@/postgres?host={server.pgdata}"
        migrate(url)
        database = Database(url)
        database.start()
        await database.write(workers.register, "worker_a", host="here", now=0)
        stored = [{"worker_a": 1}] * READER_THREADS
        assert await _read_by_every_thread(database) == stored

        process = server.get_postmaster_info().process
        assert process is not None
        process.send_signal(signal.SIGQUIT)  # As `pg_ctl stop -m immediate` does.
        await asyncio.to_thread(process.wait, 30)
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await database.read(workers.beats)
        with pytest.raises(StorageUnavailable):
            await database.write(workers.beat, "worker_a")
        assert time.monotonic() - began < AT_ONCE_SECONDS

        await asyncio.to_thread(server.ensure_postgres_running)
        assert await _read_by_every_thread(database) == stored
        assert await database.write(workers.beat, "worker_a")
        assert await database.read(workers.beats) == {"worker_a": 2}
        await asyncio.to_thread(database.stop)
