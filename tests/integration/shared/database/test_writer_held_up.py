"""A writer that others hold up: what waits too long never happens, and nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, event, select

from shared.database import writer as writer_module
from shared.database.engine import open_engine
from shared.database.file_lock import FileLock
from shared.database.models import workers
from shared.errors import StorageBusy, StorageUnavailable
from tests.fixtures.waiting import BOUND_SECONDS, eventually
from tests.integration.shared.database.bench import Bench, add

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]


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
