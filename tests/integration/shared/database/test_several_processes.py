"""Several processes with one database: turns at writing, and what is left when one is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from shared.database.access import Database
from shared.database.engine import open_engine, parse_url
from shared.database.file_lock import FileLock
from shared.database.models import workers
from tests.integration.shared.database.journal import MODES, use_journal_mode

pytestmark = [pytest.mark.anyio, pytest.mark.sqlite]

Start = Callable[[str], "subprocess.Popen[str]"]
# How many batches another process may commit while one of ours waits. SQLite's own waiting gives no such bound.
FAIR_BATCHES = 25


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use_journal_mode(request.param, monkeypatch)
    return str(request.param)


@pytest.fixture
def path(database_url: str) -> Path:
    return Path(database_url.removeprefix("sqlite:///"))


@contextmanager
def running(mode: str, path: Path, what: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.integration.shared.database.writing_process", mode, str(path), what]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def start(mode: str, path: Path) -> Iterator[Start]:
    """Starts a writing process and returns when it is ready."""
    with ExitStack() as stack:

        def start(what: str) -> subprocess.Popen[str]:
            process = stack.enter_context(running(mode, path, what))
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return process

        yield start


def batches(connection: Connection) -> int:
    """How many batches the busy process had committed."""
    return int(connection.execute(select(workers.c.beat).where(workers.c.id == "busy")).scalar_one())


async def test_a_busy_process_starves_no_other(start: Start, path: Path) -> None:
    start("busy")
    database = Database(f"sqlite:///{path}")
    database.start()
    waited = []
    for _ in range(40):
        asked = await database.read(batches)
        waited.append(await database.write(batches) - asked)
    database.stop()
    assert max(waited) <= FAIR_BATCHES, waited


def test_a_process_that_is_killed_leaves_the_file_lock(start: Start, path: Path) -> None:
    holder = start("hold")
    holder.kill()
    with FileLock(path).held():
        assert holder.wait() < 0


@pytest.mark.parametrize("round_", range(3))
def test_what_was_told_to_be_stored_survives_a_kill_in_the_middle_of_writing(
    round_: int, start: Start, path: Path
) -> None:
    processes = [start("record"), start("record")]
    told: set[str] = set()
    for process in processes:
        assert process.stdout is not None
        told |= {process.stdout.readline().strip() for _ in range(50 + 37 * round_)}
    for process in processes:
        process.kill()
    for process in processes:
        assert process.stdout is not None
        told |= {line.strip() for line in process.stdout if line.endswith("\n")}
    with open_engine(parse_url(f"sqlite:///{path}"), read_only=True).connect() as connection:
        assert connection.exec_driver_sql("pragma integrity_check").scalar() == "ok"
        assert told <= set(connection.execute(select(workers.c.id)).scalars())
