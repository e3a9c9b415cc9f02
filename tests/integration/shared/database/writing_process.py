"""A process that uses a database until it is killed: `python -m … MODE PATH WHAT`.

`hold` takes the file lock and says so; `busy` commits one batch after the other; `record` tells each row that it was
told is stored.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, insert, update

from shared.database.access import Database
from shared.database.file_lock import FileLock
from shared.database.models import workers
from tests.integration.shared.database.journal import use_journal_mode

CALLERS = 8


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def hold(path: Path) -> None:
    with FileLock(path).held():
        say("ready")
        sys.stdin.read()


def add(connection: Connection, name: str) -> str:
    connection.execute(insert(workers).values(id=name, host="here", beat=0, started_at=0))
    return name


def count(connection: Connection, batches: int) -> None:
    connection.execute(update(workers).where(workers.c.id == "busy").values(beat=batches))


async def busy(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    database.start()
    batches = 0

    def committed(_connection: Connection) -> None:
        nonlocal batches
        batches += 1

    event.listen(database.writer._engine, "commit", committed)
    await database.write(add, "busy")
    say("ready")

    async def write_on() -> None:
        while True:
            await database.write(lambda connection: count(connection, batches))

    await asyncio.gather(*(write_on() for _ in range(CALLERS)))


async def record(path: Path) -> None:
    database = Database(f"sqlite:///{path}")
    database.start()
    say("ready")

    async def write_on(caller: int) -> None:
        for number in range(1_000_000):
            say(await database.write(add, f"{os.getpid()}.{caller}.{number}"))

    await asyncio.gather(*(write_on(caller) for caller in range(CALLERS)))


if __name__ == "__main__":
    mode, where, what = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    use_journal_mode(mode, pytest.MonkeyPatch())
    if what == "hold":
        hold(where)
    else:
        asyncio.run({"busy": busy, "record": record}[what](where))
