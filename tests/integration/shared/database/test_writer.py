"""Group commit: one thread writes for everybody, and nothing ends it."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import IntegrityError

from shared.database.models import workers
from shared.database.writer import MAX_BATCH, Writer
from shared.errors import StorageUnavailable
from tests.fixtures.waiting import eventually
from tests.integration.shared.database.bench import Bench, add, eventually_written

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]


def add_and_fail(connection: Connection, name: str) -> None:
    add(connection, name)
    raise ValueError(name)


async def test_a_write_is_stored_when_it_returns(bench: Bench) -> None:
    assert await bench.writer.write(add, "a") == "a"
    assert bench.stored() == {"a"}


async def test_many_callers_share_one_commit(bench: Bench) -> None:
    names = [f"w{number}" for number in range(100)]
    assert await bench.together(*((add, name) for name in names)) == names
    assert bench.stored() == set(names)
    assert bench.commits == 2  # one of them for the call that held the others up


async def test_a_batch_has_a_bound(bench: Bench) -> None:
    names = [f"w{number}" for number in range(MAX_BATCH + 1)]
    assert await bench.together(*((add, name) for name in names)) == names
    assert bench.commits == 3


async def test_callers_of_several_event_loops_share_a_writer(bench: Bench) -> None:
    other = threading.Thread(target=lambda: asyncio.run(bench.writer.write(add, "other")))
    other.start()
    await bench.writer.write(add, "mine")
    await asyncio.to_thread(other.join)
    assert bench.stored() == {"mine", "other"}


async def test_a_call_that_fails_undoes_only_itself(bench: Bench) -> None:
    first, second, third = await bench.together((add, "a"), (add_and_fail, "b"), (add, "c"))
    assert (first, str(second), third) == ("a", "b", "c")
    assert isinstance(second, ValueError)
    assert bench.stored() == {"a", "c"}


async def test_a_call_that_fails_alone_undoes_itself(bench: Bench) -> None:
    with pytest.raises(ValueError, match="a"):
        await bench.writer.write(add_and_fail, "a")
    assert await bench.writer.write(add, "b") == "b"
    assert bench.stored() == {"b"}


async def test_a_broken_constraint_is_told_to_its_caller_alone(bench: Bench) -> None:
    first, second, third = await bench.together((add, "a"), (add, "a"), (add, "b"))
    assert (first, third) == ("a", "b")
    assert isinstance(second, IntegrityError)


def malformed(connection: Connection, _name: str) -> None:
    connection.execute(text("select no_such_column from workers"))


async def test_a_drivers_failure_is_told_as_one_of_ours(bench: Bench) -> None:
    with pytest.raises(StorageUnavailable, match="no such column"):
        await bench.writer.write(malformed, "")
    first, second = await bench.together((malformed, ""), (add, "a"))
    assert isinstance(first, StorageUnavailable)
    assert second == "a"


def add_too_much(connection: Connection, name: str) -> None:
    connection.execute(insert(workers).values(id=name, host="x" * 10_000_000, beat=1, started_at=0))


async def test_a_full_database_fails_everyone_in_the_batch_and_is_told_so(bench: Bench) -> None:
    """SQLite throws the whole transaction away then, with what was written before."""

    def pages(connection: Connection, limit: int) -> int:
        return int(connection.exec_driver_sql(f"PRAGMA max_page_count={limit}").scalar_one())

    used = await bench.writer.write(lambda connection: connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    await bench.writer.write(pages, used + 50)
    ended = await bench.together((add, "a"), (add_too_much, "b"), (add, "c"))
    assert [type(each) for each in ended] == [StorageUnavailable] * 3
    assert {str(each) for each in ended} == {"the database failed: database or disk is full"}
    assert bench.stored() == set()
    assert await bench.writer.write(add, "d") == "d"
    assert bench.stored() == {"d"}


class Unheard(BaseException):
    """No Exception, so that a careless `except` lets it through."""


@pytest.mark.parametrize("error", [Unheard, MemoryError])
async def test_nothing_ends_the_writer(error: type[BaseException], bench: Bench) -> None:
    def explode(_connection: Connection, _name: str) -> None:
        raise error

    ended = await bench.together((explode, "a"), (add, "b"))
    assert isinstance(ended[0], error)
    assert await bench.writer.write(add, "c") == "c"


async def test_the_writer_survives_the_end_of_its_connection(bench: Bench) -> None:
    def lose(connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        driver.close()

    with pytest.raises(Exception):  # noqa: B017, PT011  What the driver says of it is its own affair.
        await bench.writer.write(lose)
    await eventually_written(bench, "a")


async def test_stopping_writes_what_was_asked_for(bench: Bench) -> None:
    writer = Writer(bench.engine, file_lock=bench.lock)
    calls = [asyncio.ensure_future(writer.write(add, f"w{number}")) for number in range(MAX_BATCH + 10)]
    await eventually(lambda: writer.waiting == len(calls))
    writer.start()
    await asyncio.to_thread(writer.stop)
    assert len(bench.stored()) == len(calls)
    assert len(await asyncio.gather(*calls)) == len(calls)
