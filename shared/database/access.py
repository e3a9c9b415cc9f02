"""The database of a process: `read` on a few threads, `write` on one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from shared.database.engine import (
    SqliteMode,
    checkpoint_sqlite,
    first_line,
    open_engine,
    parse_url,
    prepare_sqlite,
    sqlite_module,
    sqlite_path,
)
from shared.database.file_lock import FileLock
from shared.database.writer import Writer
from shared.errors import SettingsError, StorageError, StorageUnavailable
from shared.observability import metrics

P = ParamSpec("P")
T = TypeVar("T")

# Reads are short; more threads than this only fight over the interpreter.
READER_THREADS = 4


class Database:
    """Opens the database of a URL; start it before use and stop it at the end.

    Functions given to `read` and `write` are plain synchronous functions of a connection, as in `shared.store`.
    """

    def __init__(self, database_url: str) -> None:
        self._url = parse_url(database_url)
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="reader")
        self._read_engine = open_engine(self._url, read_only=True)
        self._local = threading.local()
        self._connections: list[Connection] = []
        self.sqlite: SqliteMode | None = None
        self._path = path = sqlite_path(self._url)
        self._file_lock = FileLock(path) if path else None
        if path and self._file_lock:
            with self._file_lock.held():
                self.sqlite = prepare_sqlite(path)
        self.writer = Writer(open_engine(self._url, read_only=False), file_lock=self._file_lock)

    def start(self) -> None:
        """Starts the writing thread."""
        self.writer.start()
        metrics.WRITER_QUEUE.set_function(lambda: self.writer.waiting)

    def stop(self) -> None:
        """Writes what was asked for, then closes every connection. Call it when nothing uses the database any more."""
        self.writer.stop()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        if self._file_lock:
            self._file_lock.close()

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function(connection, …)` in a transaction shared with others; returns after the commit.

        Raises:
            StorageError: it was not stored, or (OutcomeUnknown) nobody knows.
        """
        began = time.perf_counter()
        try:
            return cast(T, await self.writer.write(function, *args, **kwargs))
        except StorageError as error:
            metrics.DATABASE_ERRORS("write", error.code).inc()
            raise
        finally:
            metrics.DATABASE_WRITE.observe(time.perf_counter() - began)

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function(connection, …)` on one snapshot of the database, a second time if the connection was lost.

        Raises:
            StorageUnavailable: the database did not answer.
        """
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        try:
            return await loop.run_in_executor(self._readers, self._read, function, args, kwargs)
        except StorageError as error:
            metrics.DATABASE_ERRORS("read", error.code).inc()
            raise
        finally:
            metrics.DATABASE_READ.observe(time.perf_counter() - began)

    def log_bytes(self) -> int:
        """How long SQLite's write-ahead log is; 0 where there is none."""
        if self._path is None:
            return 0
        try:
            return self._path.with_name(self._path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    async def checkpoint(self) -> bool:
        """Empties SQLite's write-ahead log into the file; whether it came to that. On a server there is nothing to do.

        Raises:
            StorageUnavailable: the disk or the file failed.
        """
        if self._path is None or self.sqlite is None or self.sqlite.journal_mode != "wal":
            return True
        return await asyncio.to_thread(self._checkpoint, self._path)

    @staticmethod
    def _checkpoint(path: Path) -> bool:
        try:
            # A lock of its own: that of the writing thread would not keep that thread out.
            with closing(FileLock(path)) as lock, lock.held():
                return checkpoint_sqlite(path)
        except (OSError, SettingsError, sqlite_module().Error) as error:
            raise StorageUnavailable(f"the write-ahead log was not emptied: {error}") from error

    def _read(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        try:
            try:
                return self._read_once(function, args, kwargs)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            # The server has closed the connection, as after its restart; a read changes nothing and may be repeated.
            return self._read_once(function, args, kwargs)
        except DBAPIError as error:
            raise StorageUnavailable(f"the database failed: {first_line(error)}") from error

    def _read_once(self, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._read_engine.connect()
            self._local.connection = connection
            self._connections.append(connection)
        with connection.begin():
            return function(connection, *args, **kwargs)
