"""Group commit: one thread writes for everybody, and nothing ends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select, text
from sqlalchemy.exc import IntegrityError

from shared.database import writer as writer_module
from shared.database.engine import open_engine, parse_url, prepare_sqlite
from shared.database.file_lock import FileLock
from shared.database.models import workers
from shared.database.writer import MAX_BATCH, Writer
from shared.errors import StorageBusy, StorageUnavailable
from tests.fixtures.waiting import BOUND_SECONDS, eventually
from tests.integration.shared.database.journal import MODES, use_journal_mode

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]


def add(connection: Connection, name: str) -> str:
    connection.execute(insert(workers).values(id=name, host="here", beat=1, started_at=0))
    return name


def add_and_fail(connection: Connection, name: str) -> None:
    add(connection, name)
    raise ValueError(name)


class Bench:
    """A writer that counts its commits, and ways to hold it up."""

    def __init__(self, path: Path, journal_mode: str) -> None:
        self.path = path
        self.journal_mode = journal_mode
        self.engine = open_engine(parse_url(f"sqlite:///{path}"), read_only=False)
        self.lock = FileLock(path)
        self.writer = Writer(self.engine, file_lock=self.lock)
        self.commits = 0
        event.listen(self.engine, "commit", self._count)

    def _count(self, _connection: Connection) -> None:
        self.commits += 1

    def stored(self) -> set[str]:
        """What anybody else finds in the file."""
        with open_engine(self.engine.url, read_only=True).connect() as connection:
            return set(connection.execute(select(workers.c.id)).scalars())

    async def begin(self, function: Callable[..., Any], name: str) -> asyncio.Task[Any]:
        """Makes a call and waits until the writer has taken it."""
        task = asyncio.ensure_future(self.writer.write(function, name))
        await asyncio.sleep(0)
        await eventually(lambda: not self.writer.waiting)
        return task

    async def together(self, *calls: tuple[Callable[..., Any], str]) -> list[Any]:
        """Makes these calls while the writer waits for the lock, so that they share a batch; returns how they ended."""
        with FileLock(self.path).held():
            first = await self.begin(lambda _connection, _name: None, "")
            tasks = [asyncio.ensure_future(self.writer.write(function, name)) for function, name in calls]
            await eventually(lambda: self.writer.waiting == len(tasks))
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(params=MODES)
def bench(request: pytest.FixtureRequest, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    use_journal_mode(request.param, monkeypatch)
    path = Path(database_url.removeprefix("sqlite:///"))
    prepare_sqlite(path)
    bench = Bench(path, request.param)
    bench.writer.start()
    yield bench
    assert bench.writer.is_alive
    bench.writer.stop()
    assert not bench.writer.is_alive
    bench.lock.close()


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


async def eventually_written(bench: Bench, name: str) -> None:
    """A write or two after a failure may fail too; then all is well again."""
    for _ in range(2):
        try:
            await bench.writer.write(add, name)
        except StorageUnavailable:
            continue
        break
    assert bench.stored() == {name}


# --- held up ---


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Calls are withdrawn after a moment, until the test undoes it."""
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "BEGIN_WITHIN_SECONDS", 0.05)
        yield patch


async def test_a_write_that_waits_too_long_for_the_file_lock_never_happens(
    bench: Bench, impatient: pytest.MonkeyPatch
) -> None:
    with FileLock(bench.path).held(), pytest.raises(StorageBusy, match="nothing was stored"):
        await bench.writer.write(add, "withdrawn")
    impatient.undo()
    await bench.writer.write(add, "later")
    assert bench.stored() == {"later"}


async def test_a_write_that_waits_too_long_for_sqlites_lock_never_happens(
    bench: Bench, impatient: pytest.MonkeyPatch
) -> None:
    with open_engine(bench.engine.url, read_only=False).begin(), pytest.raises(StorageBusy):
        await bench.writer.write(add, "withdrawn")
    impatient.undo()
    await bench.writer.write(add, "later")
    assert bench.stored() == {"later"}


@pytest.mark.usefixtures("impatient")
async def test_a_write_that_has_begun_is_not_withdrawn_however_long_it_takes(bench: Bench) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def dawdle(connection: Connection, name: str) -> str:
        begun.set()
        go_on.wait()
        return add(connection, name)

    slow = asyncio.ensure_future(bench.writer.write(dawdle, "slow"))
    for _ in range(3):  # It is asked for, and handed over.
        await asyncio.sleep(0)
    # Until it has begun the event loop stands still, and nothing can be withdrawn.
    assert begun.wait(BOUND_SECONDS)
    asyncio.get_running_loop().call_later(4 * writer_module.BEGIN_WITHIN_SECONDS, go_on.set)
    assert await slow == "slow"
    assert bench.stored() == {"slow"}


async def test_a_call_that_was_withdrawn_does_not_hold_back_the_rest_of_its_batch(
    bench: Bench, impatient: pytest.MonkeyPatch
) -> None:
    with FileLock(bench.path).held():
        first = await bench.begin(add, "first")
        with pytest.raises(StorageBusy):
            await bench.writer.write(add, "second")
        impatient.undo()
        third = asyncio.ensure_future(bench.writer.write(add, "third"))
        await eventually(lambda: bench.writer.waiting == 2)
    assert await third == "third"
    assert isinstance(first.exception(), StorageBusy)
    assert bench.stored() == {"third"}


def give_up_at_once(bench: Bench) -> None:
    """The writer waits for SQLite's lock no longer than a moment."""
    event.listen(bench.engine, "connect", lambda driver, _: driver.execute("PRAGMA busy_timeout=1"))


async def test_a_batch_that_cannot_begin_stores_nothing_and_the_next_one_begins(bench: Bench) -> None:
    give_up_at_once(bench)
    with open_engine(bench.engine.url, read_only=False).begin():
        for name in ("a", "b"):
            with pytest.raises(StorageUnavailable, match="locked"):
                await bench.writer.write(add, name)
    assert await bench.writer.write(add, "c") == "c"
    assert bench.stored() == {"c"}


async def test_a_commit_that_readers_keep_waiting_too_long_stores_nothing(bench: Bench) -> None:
    """With a rollback journal a commit waits for readers; in WAL it does not."""
    give_up_at_once(bench)
    with open_engine(bench.engine.url, read_only=True).begin() as reader:
        assert reader.execute(select(workers.c.id)).all() == []
        if bench.journal_mode == "wal":
            await bench.writer.write(add, "c")
        else:
            for name in ("a", "b"):
                with pytest.raises(StorageUnavailable, match="locked"):
                    await bench.writer.write(add, name)
    if bench.journal_mode == "truncate":
        await bench.writer.write(add, "c")
    assert bench.stored() == {"c"}


async def test_a_caller_who_is_cancelled_holds_nobody_up(bench: Bench) -> None:
    with FileLock(bench.path).held():
        task = await bench.begin(add, "cancelled")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await bench.writer.write(add, "next")
    assert "next" in bench.stored()


async def test_a_caller_whose_event_loop_has_closed_holds_nobody_up(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        (await bench.begin(add, "left")).cancel()

    with FileLock(bench.path).held():
        await asyncio.to_thread(asyncio.run, leave())
    await bench.writer.write(add, "next")
    assert bench.stored() == {"left", "next"}
    assert "answered after their event loop had closed" in caplog.text


async def test_stopping_writes_what_was_asked_for(bench: Bench) -> None:
    writer = Writer(bench.engine, file_lock=bench.lock)
    calls = [asyncio.ensure_future(writer.write(add, f"w{number}")) for number in range(MAX_BATCH + 10)]
    await eventually(lambda: writer.waiting == len(calls))
    writer.start()
    await asyncio.to_thread(writer.stop)
    assert len(bench.stored()) == len(calls)
    assert len(await asyncio.gather(*calls)) == len(calls)
