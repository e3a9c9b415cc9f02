"""Moving a grown installation to another database, of whichever kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Table
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from shared.database import postgresql
from shared.database.engine import first_line, open_engine, parse_url, prepare_sqlite, sqlite_path
from shared.database.file_lock import FileLock
from shared.database.schema import require_head
from shared.errors import SettingsError
from shared.store import tables, workers

# Several beats of a process that is alive.
WATCH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Copied:
    """A table and how many rows each side has of it."""

    table: str
    rows: int


def copy_database(source_url: str, target_url: str) -> list[Copied]:
    """Copies every row into an empty database at the same migration, in one transaction there.

    Raises:
        SettingsError: a database cannot be used, the target has rows, processes still use the source, or the counts
            differ afterwards. The target is as it was then.
    """
    source, target = _existing(source_url, "source"), _existing(target_url, "target")
    if source == target:
        raise SettingsError("the source and the target are the same database")
    try:
        with _reading(target) as new:
            _require_empty(new)  # Looked at again below; nobody should have to wait to hear of it.
        refuse_live_processes(source)
        with _reading(source) as old, _writing(target) as new:
            _require_empty(new)
            for table in tables.ALL:
                tables.copy(old, new, table)
            return [_counted(old, new, table) for table in tables.ALL]
    except DBAPIError as error:
        raise SettingsError(f"cannot copy: {first_line(error)}") from None


def _existing(database_url: str, role: str) -> URL:
    """The URL of a database whose tables are those of this version."""
    url = parse_url(database_url)
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise SettingsError(f"the {role}: there is no file {path} (`asyncchat migrate` makes a new one)")
    try:
        with open_engine(url, read_only=True).begin() as connection:
            require_head(connection)
    except DBAPIError as error:
        raise SettingsError(f"the {role}: cannot read the database: {first_line(error)}") from None
    except SettingsError as error:
        raise SettingsError(f"the {role}: {error}") from None
    return url if path is None else url.set(database=str(path.resolve()))


def refuse_live_processes(source: URL) -> None:
    """Raises SettingsError if any process beats; one that ended without a word leaves a row whose beat stands still."""
    before = _beats(source)
    deadline = time.monotonic() + WATCH_SECONDS
    while before and time.monotonic() < deadline:
        time.sleep(0.2)
        moved = sorted(name for name, beat in _beats(source).items() if before.get(name) != beat)
        if moved:
            raise SettingsError(f"asyncchat still runs on this database ({', '.join(moved)}): stop it first")


def _beats(url: URL) -> dict[str, int]:
    with _reading(url) as connection:
        return workers.beats(connection)


@contextmanager
def _reading(url: URL) -> Iterator[Connection]:
    with open_engine(url, read_only=True).begin() as connection:
        yield connection


@contextmanager
def _writing(url: URL) -> Iterator[Connection]:
    """A transaction beside which nobody else writes."""
    if path := sqlite_path(url):
        with closing(FileLock(path)) as lock, lock.held():
            prepare_sqlite(path)
            with open_engine(url, read_only=False).begin() as connection:
                yield connection
        return
    with open_engine(url, read_only=False).begin() as connection:
        postgresql.lock_tables(connection, [table.name for table in tables.ALL])
        yield connection


def _require_empty(target: Connection) -> None:
    if name := tables.first_filled(target):
        raise SettingsError(f"the target is not empty: there are rows in {name}")


def _counted(old: Connection, new: Connection, table: Table) -> Copied:
    there, here = tables.count(old, table), tables.count(new, table)
    if there != here:
        raise SettingsError(f"{table.name} has {there} rows in the source and {here} in the target: nothing was copied")
    return Copied(table.name, here)
