"""A writer under test, with a look at what it has committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, insert, select

from shared.database.engine import open_engine, parse_url
from shared.database.file_lock import FileLock
from shared.database.models import workers
from shared.database.writer import Writer
from shared.errors import StorageUnavailable
from tests.fixtures.waiting import eventually


def add(connection: Connection, name: str) -> str:
    connection.execute(insert(workers).values(id=name, host="here", beat=1, started_at=0))
    return name


class _CountingLock(FileLock):
    """Counts how often it was asked for."""

    def __init__(self, database: Path) -> None:
        super().__init__(database)
        self.asked = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        self.asked += 1
        with super().held():
            yield


class Bench:
    """A writer that counts its commits, and ways to hold it up."""

    def __init__(self, path: Path, journal_mode: str) -> None:
        self.path = path
        self.journal_mode = journal_mode
        self.engine = open_engine(parse_url(f"sqlite:///{path}"), read_only=False)
        self.lock = _CountingLock(path)
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
        """Makes a call and waits until the writer has taken it, and takes nothing more into its batch."""
        before = self.lock.asked
        task = asyncio.ensure_future(self.writer.write(function, name))
        await eventually(lambda: self.lock.asked > before)
        return task

    async def together(self, *calls: tuple[Callable[..., Any], str]) -> list[Any]:
        """Makes these calls while the writer waits for the lock, so that they share a batch; returns how they ended."""
        with FileLock(self.path).held():
            first = await self.begin(lambda _connection, _name: None, "")
            tasks = [asyncio.ensure_future(self.writer.write(function, name)) for function, name in calls]
            await eventually(lambda: self.writer.waiting == len(tasks))
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)


async def eventually_written(bench: Bench, name: str) -> None:
    """A write or two after a failure may fail too; then all is well again."""
    for _ in range(2):
        try:
            await bench.writer.write(add, name)
        except StorageUnavailable:
            continue
        break
    assert bench.stored() == {name}
