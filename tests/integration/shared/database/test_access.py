"""The database of a process: reading and writing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from shared.database.access import READER_THREADS, Database
from shared.database.models import workers
from shared.errors import SettingsError, StorageUnavailable
from tests.integration.shared.database.journal import MODES, use_journal_mode

pytestmark = pytest.mark.anyio


def add(connection: Connection, name: str, *, beat: int = 1) -> None:
    connection.execute(insert(workers).values(id=name, host="here", beat=beat, started_at=0))


def beat_of(connection: Connection, name: str) -> int | None:
    return connection.execute(select(workers.c.beat).where(workers.c.id == name)).scalar_one_or_none()


def names_in(folder: Path) -> list[str]:
    """The files there, but for an emptied rollback journal."""
    return sorted(
        path.name for path in folder.iterdir() if not (path.name.endswith("-journal") and path.stat().st_size == 0)
    )


@pytest.mark.sqlite
@pytest.mark.parametrize("mode", MODES)
async def test_what_is_written_is_read_in_either_mode(
    mode: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_journal_mode(mode, monkeypatch)
    database = Database(database_url)
    assert database.sqlite is not None
    assert database.sqlite.journal_mode == mode
    database.start()
    await database.write(add, "a", beat=7)
    assert await database.read(beat_of, "a") == 7
    database.stop()


async def test_many_reads_run_at_once_on_a_few_connections(database: Database) -> None:
    await database.write(add, "a")
    found = await asyncio.gather(*(database.read(beat_of, "a") for _ in range(200)))
    assert found == [1] * 200
    assert len(database._connections) <= READER_THREADS


async def test_a_read_can_write_nothing(database: Database) -> None:
    with pytest.raises(StorageUnavailable, match=r"read-?only"):
        await database.read(add, "a")
    assert await database.read(beat_of, "a") is None


async def test_a_read_that_fails_is_told_as_one_of_ours_and_the_next_one_works(database: Database) -> None:
    for _ in range(2 * READER_THREADS):
        with pytest.raises(StorageUnavailable, match="missing"):
            await database.read(lambda connection: connection.execute(text("select * from missing")))
    assert await database.read(beat_of, "a") is None


async def test_what_a_functions_own_mistake_raises_stays_what_it_is(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await database.read(lambda _: 1 / 0)


async def test_stopping_writes_what_was_asked_for(database_url: str) -> None:
    database = Database(database_url)
    database.start()
    calls = [asyncio.ensure_future(database.write(add, f"w{number}")) for number in range(20)]
    await asyncio.sleep(0)  # so that the calls are made
    await asyncio.to_thread(database.stop)
    await asyncio.gather(*calls)


@pytest.mark.sqlite
async def test_stopping_leaves_no_journal(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url)
    database.start()
    await database.write(add, "a")
    await database.read(beat_of, "a")
    await asyncio.to_thread(database.stop)
    assert names_in(tmp_path) == ["asyncchat.db", "asyncchat.db.lock"]


@pytest.mark.sqlite
def test_a_folder_that_cannot_be_made_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^cannot open the database .*/file/chat.db: "):
        Database(f"sqlite:///{tmp_path}/file/chat.db")
