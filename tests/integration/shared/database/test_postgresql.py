"""What is PostgreSQL's own: locks of rows, deadlocks, lost connections."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, make_url, select, update
from sqlalchemy.exc import OperationalError

from shared.database import postgresql
from shared.database.access import Database
from shared.database.engine import open_engine, parse_url
from shared.database.models import workers
from shared.errors import OutcomeUnknown, StorageBusy, StorageUnavailable
from tests.fixtures.waiting import eventually, until
from tests.integration.shared.database.relay import Relay, relayed

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]

DEADLOCK_CHECK_SECONDS = 1.0  # PostgreSQL's own default.
BOUND_SECONDS = 20


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the rows a and b, to be counted up."""
    opened = Database(database_url)
    opened.start()
    await opened.write(lambda connection: connection.execute(insert(workers), [row("a"), row("b")]))
    yield opened
    await asyncio.to_thread(opened.stop)


@pytest.fixture
async def other(database: Database, database_url: str) -> AsyncIterator[Database]:
    """Another process's way to the same database."""
    del database
    opened = Database(database_url)
    opened.start()
    yield opened
    await asyncio.to_thread(opened.stop)


@pytest.fixture
def somebody(database: Database, database_url: str) -> Iterator[Connection]:
    """A session that may hold a row for as long as it likes."""
    del database
    with open_engine(parse_url(database_url), read_only=False).connect() as connection:
        yield connection


def row(name: str) -> dict[str, Any]:
    return {"id": name, "host": "here", "beat": 0, "started_at": 0}


def add(connection: Connection, *names: str) -> None:
    """Locks the rows in this order, and counts each up."""
    for name in names:
        connection.execute(update(workers).where(workers.c.id == name).values(beat=workers.c.beat + 1))


def counts(connection: Connection) -> dict[str, int]:
    return {each.id: each.beat for each in connection.execute(select(workers.c.id, workers.c.beat))}


def session(connection: Connection) -> int:
    return int(connection.execute(select(func.pg_backend_pid())).scalar_one())


def end_session(connection: Connection, pid: int) -> None:
    assert connection.execute(select(func.pg_terminate_backend(pid, 5_000))).scalar_one()


async def together(database: Database, *calls: Callable[[Connection], object]) -> list[asyncio.Future[Any]]:
    """Makes calls that share a batch."""
    begun, held = threading.Event(), threading.Event()

    def hold_up(_connection: Connection) -> None:
        begun.set()
        held.wait(BOUND_SECONDS)

    first = asyncio.ensure_future(database.write(hold_up))
    await eventually(begun.is_set)
    asked: list[asyncio.Future[Any]] = [asyncio.ensure_future(database.write(call)) for call in calls]
    await eventually(lambda: database.writer.waiting == len(asked))
    held.set()
    await first
    return asked


# --- rows that others hold ---


async def test_two_writers_that_want_each_others_rows_both_end_soon(database: Database, other: Database) -> None:
    """Each holds what the other wants next, as two batches of two processes might."""
    both = threading.Barrier(2)
    met: set[str] = set()

    def meet(name: str) -> Callable[[Connection], None]:
        def call(connection: Connection) -> None:
            add(connection, name)
            if name not in met:  # Where it is run again, it is alone.
                met.add(name)
                both.wait(BOUND_SECONDS)

        return call

    one = await together(database, meet("a"), lambda connection: add(connection, "b"))
    two = await together(other, meet("b"), lambda connection: add(connection, "a"))
    began = time.monotonic()
    await asyncio.wait_for(asyncio.gather(*one, *two), BOUND_SECONDS)
    assert time.monotonic() - began < 2 * DEADLOCK_CHECK_SECONDS + 1
    assert await database.read(counts) == {"a": 2, "b": 2}


async def test_a_call_that_waits_for_a_row_lets_its_batch_go_and_is_run_once_the_row_is_free(
    database: Database, somebody: Connection
) -> None:
    with somebody.begin():
        add(somebody, "a")
        waits, goes = await together(
            database, lambda connection: add(connection, "a"), lambda connection: add(connection, "b")
        )

        async def batch_is_stored() -> bool:
            return (await database.read(counts))["b"] == 1

        await until(batch_is_stored)
        assert not waits.done()
    await asyncio.wait_for(asyncio.gather(waits, goes), BOUND_SECONDS)
    assert await database.read(counts) == {"a": 2, "b": 1}


async def test_what_waits_for_a_row_for_seconds_keeps_nobody_else_from_writing(
    database: Database, somebody: Connection
) -> None:
    """As where a process was stopped with the row in its hands: a beat that is not stored would be a second death."""
    with somebody.begin():
        add(somebody, "a")
        waiting = await together(database, *[lambda connection: add(connection, "a")] * 3)
        waiting.append(asyncio.ensure_future(database.write(add, "a")))
        began, beats = time.monotonic(), 0
        while time.monotonic() - began < 2:
            await asyncio.wait_for(database.write(add, "b"), 1.5)
            beats += 1
        assert beats > 2
        assert not any(each.done() for each in waiting)
    await asyncio.wait_for(asyncio.gather(*waiting), BOUND_SECONDS)
    assert await database.read(counts) == {"a": 5, "b": beats}


async def test_a_call_that_waits_too_long_for_a_row_is_told_so_and_does_nothing(
    database: Database, somebody: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", 1.0)
    with somebody.begin():
        add(somebody, "a")
        waits, goes = await together(
            database, lambda connection: add(connection, "b", "a"), lambda connection: add(connection, "b")
        )
        ended = await asyncio.wait_for(asyncio.gather(waits, goes, return_exceptions=True), BOUND_SECONDS)
        assert [type(each) for each in ended] == [StorageBusy, type(None)]
    assert await database.read(counts) == {"a": 1, "b": 1}
    await database.write(add, "a")
    assert await database.read(counts) == {"a": 2, "b": 1}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call waits longer for a row than PostgreSQL does for a deadlock. Ask for it before the database."""
    monkeypatch.setattr(postgresql, "WRITER_LOCK_TIMEOUT", "5s")


async def test_a_batch_that_loses_a_deadlock_is_run_again_one_by_one(
    patient: None, database: Database, somebody: Connection
) -> None:
    del patient
    somebody.exec_driver_sql("set deadlock_timeout = '10s'")  # So that the writer is the one to find it.
    somebody.commit()
    add(somebody, "b")
    runs: list[str] = []
    took_a = threading.Event()

    def first(connection: Connection) -> str:
        runs.append("first")
        add(connection, "a")
        took_a.set()
        return "first"

    def second(connection: Connection) -> str:
        runs.append("second")
        add(connection, "b")
        return "second"

    asked = await together(database, first, second)
    await asyncio.to_thread(took_a.wait, BOUND_SECONDS)
    await asyncio.to_thread(add, somebody, "a")  # Waits for the batch, which waits for b.
    somebody.commit()
    assert await asyncio.wait_for(asyncio.gather(*asked), BOUND_SECONDS) == ["first", "second"]
    assert runs == ["first", "second"] * 2
    assert await database.read(counts) == {"a": 2, "b": 2}


# --- a server that goes away ---


async def test_a_session_that_ends_in_the_middle_stores_nothing_and_the_next_write_works(
    database: Database, somebody: Connection
) -> None:
    def lose(connection: Connection) -> None:
        add(connection, "a")
        end_session(somebody, session(connection))
        add(connection, "a")

    with pytest.raises(StorageUnavailable):
        await database.write(lose)
    await database.write(add, "b")
    assert await database.read(counts) == {"a": 0, "b": 1}


async def test_a_session_that_ends_in_the_middle_of_a_batch_fails_each_of_it_by_our_names(
    database: Database, somebody: Connection
) -> None:
    def lose(connection: Connection) -> None:
        end_session(somebody, session(connection))
        add(connection, "a")

    asked = await together(
        database, lambda connection: add(connection, "a"), lose, lambda connection: add(connection, "b")
    )
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in ended] == [StorageUnavailable] * 3
    await database.write(add, "b")
    assert await database.read(counts) == {"a": 0, "b": 1}


async def test_a_function_that_hides_a_lost_connection_is_not_taken_for_stored(
    database: Database, somebody: Connection
) -> None:
    def hide(connection: Connection) -> None:
        end_session(somebody, session(connection))
        with suppress(OperationalError):
            add(connection, "a")

    with pytest.raises(StorageUnavailable):
        await database.write(hide)
    ended = await asyncio.gather(*await together(database, hide, hide), return_exceptions=True)
    assert [type(each) for each in ended] == [StorageUnavailable] * 2
    await database.write(add, "b")
    assert await database.read(counts) == {"a": 0, "b": 1}


async def test_a_session_that_ended_while_idle_costs_no_more_than_one_write(
    database: Database, somebody: Connection
) -> None:
    end_session(somebody, await database.write(session))
    with pytest.raises(StorageUnavailable):
        await database.write(add, "a")
    await database.write(add, "a")
    assert await database.read(counts) == {"a": 1, "b": 0}


async def test_readers_do_not_notice_that_their_sessions_ended(database: Database, somebody: Connection) -> None:
    for _ in range(20):
        end_session(somebody, await database.read(session))
        assert await database.read(counts) == {"a": 0, "b": 0}


async def test_a_session_that_ends_before_its_commit_leaves_the_outcome_unknown(
    database: Database, somebody: Connection
) -> None:
    def lose(connection: Connection) -> None:
        add(connection, "a")
        end_session(somebody, session(connection))

    with pytest.raises(OutcomeUnknown):
        await database.write(lose)
    await database.write(add, "b")
    assert await database.read(counts) == {"a": 0, "b": 1}


@pytest.fixture
def relay(database: Database, database_url: str) -> Iterator[tuple[Relay, str]]:
    """A relay, and the address of the database behind it."""
    del database
    url = make_url(database_url)
    server = f"{url.query['host']}/.s.PGSQL.5432"
    with tempfile.TemporaryDirectory(prefix="relay") as folder, relayed(Path(folder), server) as relay:
        through = url.update_query_dict({"host": folder})
        yield relay, through.render_as_string(hide_password=False)


@pytest.mark.parametrize("reaches_server", [False, True])
async def test_a_connection_lost_at_the_commit_leaves_the_outcome_unknown_and_nothing_is_run_twice(
    reaches_server: bool,  # noqa: FBT001  A parameter of the test.
    database: Database,
    relay: tuple[Relay, str],
) -> None:
    losing, url = relay
    through = Database(url)
    through.start()
    await through.write(add, "b")
    losing.lose_at_commit(reaches_server=reaches_server)
    asked = await together(through, lambda connection: add(connection, "a"), lambda connection: add(connection, "a"))
    ended = await asyncio.gather(*asked, return_exceptions=True)
    await through.write(add, "b")
    await asyncio.to_thread(through.stop)
    assert [type(each) for each in ended] == [OutcomeUnknown] * 2
    assert await database.read(counts) == {"a": 2 if reaches_server else 0, "b": 2}
