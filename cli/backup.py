"""A SQLite database into a file while everything runs, and back while nothing does."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from cli.copying import refuse_live_processes
from shared.database.engine import open_engine, parse_url, sqlite_module, sqlite_path
from shared.database.file_lock import FileLock
from shared.database.schema import version
from shared.errors import SettingsError


def back_up(database_url: str, target: Path) -> str:
    """Writes all that is stored into a new file, as it is at one moment; what was done, in one line.

    Raises:
        SettingsError: it cannot be done; nothing is left of it.
    """
    source = _file_of(database_url, "pg_dump")
    if not source.exists():
        raise SettingsError(f"there is no database {source}")
    if target.exists():
        raise SettingsError(f"there is a file {target} already: name a new one")
    with _made_beside(target) as unfinished:
        _copy(source, unfinished)
        _require_whole(unfinished)
        _put(unfinished, target)
    return f"{source} is backed up in {target} ({target.stat().st_size:,} bytes)."


def restore(database_url: str, source: Path) -> str:
    """Puts a backup in the place of the database, which is kept under another name; what was done, in one line.

    Raises:
        SettingsError: the file is no backup, or something still runs on the database. Nothing has changed then.
    """
    target = _file_of(database_url, "pg_restore")
    if not source.is_file():
        raise SettingsError(f"there is no file {source}")
    with _made_beside(target) as unfinished:
        try:
            shutil.copyfile(source, unfinished)
        except OSError as error:
            raise SettingsError(f"cannot read {source}: {error}") from None
        _require_whole(unfinished)
        if target.exists():
            _require_quiet(database_url)
        with closing(FileLock(target)) as lock, lock.held():
            kept = _put_aside(target)
            _put(unfinished, target)
    aside = f" What was there before is {kept}." if kept else ""
    return f"{target} is as it was when {source} was made.{aside} Run `asyncchat migrate`, then start."


def _file_of(database_url: str, program: str) -> Path:
    path = sqlite_path(parse_url(database_url))
    if path is None:
        raise SettingsError(f"this is for SQLite: use PostgreSQL's own {program}, as docs/operations.md tells")
    return path


@contextmanager
def _made_beside(target: Path) -> Iterator[Path]:
    """A place in the same folder for a file that is not finished. Nothing is there afterwards."""
    unfinished = target.with_name(f"{target.name}.unfinished-{os.getpid()}")
    try:
        # Nobody else is to read it, not even for a moment.
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield unfinished
    except OSError as error:
        raise SettingsError(f"cannot write {target}: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """By SQLite itself, from one snapshot, however much is written meanwhile."""
    module = sqlite_module()
    try:
        with closing(module.connect(f"{source.as_uri()}?mode=rw", uri=True)) as connection:
            # The copy can give back what will be free in it, also where the source cannot.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("VACUUM INTO ?", (str(target),))
    except module.Error as error:
        raise SettingsError(f"cannot back up {source}: {error}") from None


def _require_whole(path: Path) -> None:
    """Refuses a file that is damaged or no database of ours."""
    try:
        with open_engine(parse_url(f"sqlite:///{path}"), read_only=True).begin() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one()
            present = version(connection)
    except DBAPIError as error:
        raise SettingsError(f"the file is not a whole database: {error.orig}") from None
    if found != "ok":
        raise SettingsError(f"the file is damaged: {found.partition(chr(10))[0]}")
    if present is None:
        raise SettingsError("the file is a database, and not one of asyncchat's")


def _require_quiet(database_url: str) -> None:
    try:
        refuse_live_processes(parse_url(database_url))
    except DBAPIError:
        return  # So damaged that nobody can work on it; perhaps it is restored for that.


def _put_aside(target: Path) -> Path | None:
    """The database, with the log that belongs to it, under another name."""
    if not target.exists():
        return None
    kept = target.with_name(f"{target.name}.replaced-{time.strftime('%Y%m%dT%H%M%S')}")
    for ending in ("-wal", "-shm", ""):
        part = target.with_name(target.name + ending)
        if part.exists():
            part.rename(kept.with_name(kept.name + ending))
    return kept


def _put(unfinished: Path, target: Path) -> None:
    """Gives the finished file its name, in a way that a power cut does not undo."""
    _sync(unfinished, os.O_RDWR)
    unfinished.rename(target)
    _sync(target.parent, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
