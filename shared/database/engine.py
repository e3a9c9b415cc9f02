"""Connections: which SQLite library, which pragmas, what is refused."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from shared.database import driver, postgresql
from shared.errors import SettingsError

log = logging.getLogger(__name__)

# The first release in which several processes may write in WAL mode without the WAL-reset bug (sqlite.org/wal.html).
SAFE_WAL_VERSION = (3, 51, 3)
# How long SQLite itself waits for a lock before it says "database is locked".
BUSY_TIMEOUT_MS = 10_000
CHECKPOINT_TIMEOUT_SECONDS = 0.2
# SQLite's locks do not hold on these (sqlite.org/howtocorrupt.html, section 2.1).
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs"}
)
# What is mounted where, on Linux.
MOUNTS = Path("/proc/mounts")


def sqlite_module() -> ModuleType:
    """The `pysqlite3` wheel where there is one, since it carries a newer SQLite; else the standard library's."""
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        return sqlite3.dbapi2
    return dbapi2  # type: ignore[no-any-return]  # the wheel has no type information


@dataclass(frozen=True, slots=True)
class SqliteMode:
    """Which SQLite this process uses and how it journals."""

    version: str
    journal_mode: str


def sqlite_mode(module: ModuleType) -> SqliteMode:
    """WAL where this library is new enough, else the rollback journal, which is slower and safe."""
    safe = module.sqlite_version_info >= SAFE_WAL_VERSION
    return SqliteMode(module.sqlite_version, "wal" if safe else "truncate")


def parse_url(database_url: str) -> URL:
    """The URL, with what cannot work refused.

    Raises:
        SettingsError: the URL is malformed, in memory, or on a network file system.
    """
    try:
        url = make_url(database_url)
    except ArgumentError:
        raise SettingsError("wrong setting: DATABASE_URL is not a database URL like sqlite:///data/chat.db") from None
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:" or url.query:
            raise SettingsError(
                "wrong setting: DATABASE_URL must name a file that several processes can share, like sqlite:///data/chat.db"
            )
        _refuse_network_file_system(Path(url.database))
    elif not url.database:
        raise SettingsError("wrong setting: DATABASE_URL must name a database, like postgresql://user@host/chat")
    return url


def sqlite_path(url: URL) -> Path | None:
    """The database's file, or None for a server."""
    return Path(str(url.database)).absolute() if url.get_backend_name() == "sqlite" else None


def _refuse_network_file_system(path: Path) -> None:
    try:
        mounts = [line.split()[1:3] for line in MOUNTS.read_text().splitlines()]
    except OSError:
        return  # Not Linux: nothing to read it from.
    where = path.absolute()
    while not where.exists():
        where = where.parent
    where = where.resolve()
    covering = [(mount, kind) for mount, kind in mounts if where.is_relative_to(mount.replace("\\040", " "))]
    # The innermost; where several are mounted on one place, the last hides the others (autofs under NFS).
    _, kind = max(reversed(covering), key=lambda item: len(item[0]), default=("", ""))
    if kind in NETWORK_FILE_SYSTEMS:
        raise SettingsError(f"{path} is on a network file system ({kind}), where SQLite's locks do not hold")


def open_engine(url: URL, *, read_only: bool) -> Engine:
    """An engine whose connections are held by their threads, so it needs no pool.

    On SQLite a writing transaction takes the write lock when it begins, and a reading one can write nothing.
    """
    options: dict[str, Any] = {
        "poolclass": NullPool,
        "hide_parameters": True,  # Errors are logged, and parameters hold what people and models said.
        "json_serializer": lambda value: orjson.dumps(value).decode(),
        "json_deserializer": orjson.loads,
    }
    if url.get_backend_name() != "sqlite":
        return _open_postgresql(url, read_only=read_only, options=options)
    module = sqlite_module()
    engine = create_engine(
        url, module=module, connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000}, **options
    )
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    journal_mode = sqlite_mode(module).journal_mode

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # Transactions are begun below, not by the driver.
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        if read_only:
            cursor.execute("PRAGMA query_only=ON")
        elif journal_mode != "wal":  # The file remembers only WAL; this is each connection's own.
            cursor.execute(f"PRAGMA journal_mode={journal_mode}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        driver.execute(connection, begin)

    return engine


def _open_postgresql(url: URL, *, read_only: bool, options: dict[str, Any]) -> Engine:
    if read_only:
        # What one `read` looks up belongs to one moment, as it does on SQLite.
        options["isolation_level"] = "REPEATABLE READ"
        options["execution_options"] = {"postgresql_readonly": True}
    engine = create_engine(
        postgresql.with_driver(url),
        connect_args=postgresql.connect_arguments(),
        paramstyle=postgresql.PARAMETER_STYLE,
        **options,
    )
    event.listen(engine, "connect", postgresql.number_parameters)
    return engine


def first_line(error: DBAPIError) -> str:
    """What the driver says of a failure. PostgreSQL goes on in further lines, which may quote what people said."""
    return str(error.orig).partition("\n")[0]


def prepare_sqlite(path: Path) -> SqliteMode:
    """Makes the folder and changes the file to WAL or back. Call it while holding the file lock.

    Raises:
        SettingsError: the file cannot be made or opened.
    """
    module = sqlite_module()
    mode = sqlite_mode(module)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = module.connect(str(path), timeout=BUSY_TIMEOUT_MS / 1000)
        try:
            # Only of a new file: then it can give back what is freed in it.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            (present,) = connection.execute("PRAGMA journal_mode").fetchone()
            if present != mode.journal_mode:
                connection.execute(f"PRAGMA journal_mode={mode.journal_mode}")
        finally:
            connection.close()
    except (OSError, module.Error) as error:
        raise SettingsError(f"cannot open the database {path}: {error}") from None
    if mode.journal_mode != "wal":
        log.warning("SQLite %s is older than 3.51.3: using a rollback journal, which is safe but slower", mode.version)
    return mode


def checkpoint_sqlite(path: Path) -> bool:
    """Writes what is in the write-ahead log into the file and empties the log; whether it came to that.

    Whoever reads a version that only the log has keeps it from being emptied. Those who write wait meanwhile, so it
    does not wait long for readers. Call it while holding the file lock.
    """
    connection = sqlite_module().connect(str(path), timeout=CHECKPOINT_TIMEOUT_SECONDS, isolation_level=None)
    try:
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    return not is_busy
